"""Add images that a program holds in memory or by path, under the caller's ids and metadata. Nothing is followed."""

import hashlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from lookalike.errors import BadQuery, ImageError
from lookalike.image import DecodedImage, GuardedDecoder, Limits, absolute_text, decode_side, fit, read, to_rgb
from lookalike.image.convert import ImageLike, image_name
from lookalike.indexing.pipeline import BATCH
from lookalike.indexing.plan import renamed_columns, superseded, user_columns
from lookalike.indexing.worker import Columns, image_columns, photo_columns
from lookalike.text import now
from lookalike.types import RGB, AddReport, Embedder, Failure, Metadata, Preprocessing, Store

COMMIT_IMAGES = 512


def add_images(
    store: Store,
    embedder: Embedder,
    images: Sequence[ImageLike],
    ids: Sequence[str] | None,
    metadata: Sequence[Metadata] | None,
    limits: Limits,
    *,
    photo: frozenset[str] = frozenset(),
) -> AddReport:
    """Embed and store images, with a commit every 512. Raises BadQuery when the lists differ in length.

    `photo`: which columns of what a file says about itself are stored. Thumbnails are if the store has them.
    """
    for name, values in (("ids", ids), ("metadata", metadata)):
        if values is not None and len(values) != len(images):
            raise BadQuery(f"there are {len(images)} images and {len(values)} {name}; pass one for each image")
    started_at = time.monotonic()
    with_thumbnail = "thumbnail" in store.columns()
    report, stored = AddReport(), set[str]()
    own_ids: Sequence[str | None] = ids or [None] * len(images)
    new = list(zip(images, own_ids, metadata or [{}] * len(images), strict=True))
    with GuardedDecoder(limits) as decoder:
        for start in range(0, len(new), COMMIT_IMAGES):
            prepare = partial(
                _prepare,
                preprocessing=embedder.card.preprocessing,
                decoder=decoder,
                photo=photo,
                with_thumbnail=with_thumbnail,
            )
            _add_batch(store, embedder, new[start : start + COMMIT_IMAGES], prepare, report, stored)
    report.seconds = time.monotonic() - started_at
    return report


def _add_batch(
    store: Store,
    embedder: Embedder,
    batch: Sequence[tuple[ImageLike, str | None, Metadata]],
    prepare: Callable[[ImageLike], tuple[str, RGB, Columns]],
    report: AddReport,
    stored: set[str],
) -> None:
    """Store images with their ids and metadata. `stored`: the ids of earlier batches, to which those of this one go."""
    prepared: dict[str, tuple[RGB, Columns]] = {}
    for image, own_id, own_metadata in batch:
        try:
            default_id, fitted, columns = prepare(image)
        except ImageError as error:
            report.failed.append(Failure(image_name(image), str(error)))
            continue
        image_id = default_id if own_id is None else own_id
        if image_id in prepared or image_id in stored:
            report.failed.append(superseded(image_id, image_id))
        report.renamed_columns |= renamed_columns(own_metadata)
        prepared[image_id] = (fitted, columns | user_columns(own_metadata))
    if not prepared:
        return
    new = [image_id for image_id in prepared if image_id not in stored]
    before = sum(row is not None for row in store.get(new, []))
    vectors = [embedder.embed([p for p, _ in chunk]) for chunk in _chunks(list(prepared.values()))]
    store.add(list(prepared), np.concatenate(vectors), [columns for _, columns in prepared.values()])
    report.changed += before
    report.added += len(new) - before
    stored.update(new)
    report.plain += sum(bool(columns["plain"]) for _, columns in prepared.values())


def _prepare(
    image: ImageLike,
    preprocessing: Preprocessing,
    decoder: GuardedDecoder,
    photo: frozenset[str],
    *,
    with_thumbnail: bool,
) -> tuple[str, RGB, Columns]:
    """An image's default id, its pixels fitted to the model, and its columns."""
    side = decode_side(preprocessing)
    source: Columns
    if isinstance(image, str | Path):
        path = absolute_text(image)
        data = read(path, decoder.limits)
        name, source = path, {"path": path, "size": len(data)}
    elif isinstance(image, bytes):
        data, source = image, {"size": len(image)}
        name = hashlib.sha256(data).hexdigest()[:16]
    else:
        return _prepare_array(to_rgb(image), preprocessing, with_thumbnail=with_thumbnail)
    picture = decoder.decode(data, side=side)
    fitted = fit(picture.image, preprocessing)
    columns = photo_columns(data, picture, photo) | image_columns(picture, fitted, with_thumbnail=with_thumbnail)
    columns |= source | {"sha256": hashlib.sha256(data).hexdigest(), "indexed": now()}
    return name, fitted, columns


def _prepare_array(image: RGB, preprocessing: Preprocessing, *, with_thumbnail: bool) -> tuple[str, RGB, Columns]:
    height, width = image.shape[:2]
    picture = DecodedImage(image=image, width=width, height=height, format="array", frame=0, frames=1)
    sha256 = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
    fitted = fit(image, preprocessing)
    columns = image_columns(picture, fitted, with_thumbnail=with_thumbnail)
    return sha256[:16], fitted, columns | {"sha256": sha256, "indexed": now()}


def _chunks(pictures: list[tuple[RGB, Columns]]) -> list[list[tuple[RGB, Columns]]]:
    return [pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH)]
