"""Adding pictures that a program holds: no folder to follow, ids and metadata as the caller says."""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lookalike.errors import BadQuery, ImageError
from lookalike.image import DecodedImage, GuardedDecoder, Limits, fit, read, to_rgb
from lookalike.image.convert import ImageLike, image_name
from lookalike.indexing.pipeline import BATCH
from lookalike.indexing.plan import absolute_text, given_facts
from lookalike.indexing.worker import Facts, picture_facts
from lookalike.text import now
from lookalike.types import RGB, AddReport, Embedder, Failure, Metadata, Preprocessing, Store

COMMIT = 512


def add_pictures(
    store: Store,
    embedder: Embedder,
    images: Sequence[ImageLike],
    ids: Sequence[str] | None,
    metadata: Sequence[Metadata] | None,
    limits: Limits,
) -> AddReport:
    """Embed and store pictures, a commit every 512. Raises BadQuery when the lists differ in length."""
    for name, given in (("ids", ids), ("metadata", metadata)):
        if given is not None and len(given) != len(images):
            raise BadQuery(f"{len(images)} images and {len(given)} {name} were given; give one for each image")
    begun = time.monotonic()
    report = AddReport()
    with GuardedDecoder(limits) as decoder:
        for start in range(0, len(images), COMMIT):
            part = slice(start, start + COMMIT)
            _add_some(
                store,
                embedder,
                images[part],
                ids[part] if ids else None,
                metadata[part] if metadata else None,
                decoder,
                report,
            )
    report.seconds = time.monotonic() - begun
    return report


def _add_some(
    store: Store,
    embedder: Embedder,
    images: Sequence[ImageLike],
    ids: Sequence[str] | None,
    metadata: Sequence[Metadata] | None,
    decoder: GuardedDecoder,
    report: AddReport,
) -> None:
    taken: dict[str, tuple[RGB, Facts]] = {}
    for n, image in enumerate(images):
        try:
            name, picture, facts = _take(image, embedder.card.preprocessing, decoder)
        except ImageError as error:
            report.failed.append(Failure(image_name(image), str(error)))
            continue
        # The last of an id wins: it takes its place in the dict anew.
        taken[ids[n] if ids else name] = (picture, facts | given_facts(metadata[n] if metadata else {}))
    if not taken:
        return
    before = sum(row is not None for row in store.get(list(taken), []))
    vectors = [embedder.embed([p for p, _ in chunk]) for chunk in _chunks(list(taken.values()))]
    store.add(list(taken), np.concatenate(vectors), [facts for _, facts in taken.values()])
    report.changed += before
    report.added += len(taken) - before
    report.plain += sum(bool(facts["plain"]) for _, facts in taken.values())


def _take(image: ImageLike, preprocessing: Preprocessing, decoder: GuardedDecoder) -> tuple[str, RGB, Facts]:
    """A picture's own name, its pixels fitted to the model, and what is known of it."""
    side = max(preprocessing.size)
    place: Facts
    if isinstance(image, str | Path):
        path = absolute_text(image)
        data = read(path, decoder.limits)
        name, place = path, {"path": path, "size": len(data)}
    elif isinstance(image, bytes):
        data, place = image, {"size": len(image)}
        name = hashlib.sha256(data).hexdigest()[:16]
    else:
        return _take_array(to_rgb(image), preprocessing)
    picture = decoder.decode(data, side=side)
    fitted = fit(picture.image, preprocessing)
    facts = picture_facts(picture, fitted) | place | {"sha256": hashlib.sha256(data).hexdigest(), "indexed": now()}
    return name, fitted, facts


def _take_array(image: RGB, preprocessing: Preprocessing) -> tuple[str, RGB, Facts]:
    height, width = image.shape[:2]
    picture = DecodedImage(image=image, width=width, height=height, format="array", frame=0, frames=1)
    sha256 = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
    fitted = fit(image, preprocessing)
    return sha256[:16], fitted, picture_facts(picture, fitted) | {"sha256": sha256, "indexed": now()}


def _chunks(pictures: list[tuple[RGB, Facts]]) -> list[list[tuple[RGB, Facts]]]:
    return [pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH)]
