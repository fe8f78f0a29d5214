"""Compare two images in full: vectors, features, verdict and explanation."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lookalike.embed import DEFAULT_MODEL, get_embedder
from lookalike.errors import ImageError
from lookalike.image import Limits, decode, fit, read, to_rgb, to_text
from lookalike.image.convert import ImageLike
from lookalike.parts import COPY, part_of
from lookalike.relate.content.quality import too_poor
from lookalike.relate.geometry.feature_cache import bytes_loader, file_loader
from lookalike.relate.geometry.features import PREVIEW_COUNT, PREVIEW_SIDE, SIDE, find_features
from lookalike.relate.inset import explain_inset, explain_part, verify_inset
from lookalike.relate.probability.calibration_model import Calibration, calibration_of_card
from lookalike.relate.relation import Subject, Verdict, is_in_order, judge, swap_sides
from lookalike.relate.words.explain import Explanation, explain
from lookalike.text import expanded
from lookalike.types import RGB, Embedder, Relation


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """An image prepared for a comparison: pixels reduced to about 768, what the verdict uses, and facts of its file."""

    image: RGB
    subject: Subject
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ImageComparison:
    """Two images, their verdict and its explanation."""

    first: LoadedImage
    second: LoadedImage
    verdict: Verdict
    explanation: Explanation


def compare(
    first: str | Path | bytes, second: str | Path | bytes, embedder: Embedder, calibration: Calibration
) -> ImageComparison:
    """Compare two image files, given as paths or as bytes. Raises ImageError.

    If the whole images do not prove a copy, also check whether one is a small part of the other, which takes another
    second or two.
    """
    a, b = load_image(first, embedder), load_image(second, embedder)
    verdict = judge(a.subject, b.subject, calibration)
    if verdict.relation < Relation.COPY:
        inset = _compare_inset(a, b, (_full_image(first), _full_image(second)), verdict, calibration)
        if inset is not None:
            return inset
    return ImageComparison(a, b, verdict, explain(a.image, b.image, verdict))


def compare_images(
    first: ImageLike,
    second: ImageLike,
    *,
    embedder: Embedder | None = None,
    calibration: Calibration | None = None,
) -> ImageComparison:
    """Compare two images (paths, bytes, arrays or Pillow images): `.verdict`, and `.explanation.words`.

    Raises ImageError, BadQuery.

    `embedder`: by default the default model. `calibration`: what its scores mean, by default as its card says; that of
    a collection is `lookalike.relate.calibration_of(photos)`.
    """
    embedder = embedder or get_embedder(DEFAULT_MODEL)
    a, b = _path_or_bytes(first), _path_or_bytes(second)
    return compare(a, b, embedder, calibration or calibration_of_card(embedder.card))


def _path_or_bytes(image: ImageLike) -> str | Path | bytes:
    """Return the image as a path or the bytes of a file; an image in memory is encoded without loss."""
    import cv2

    if isinstance(image, str | Path | bytes):
        return image
    return bytes(cv2.imencode(".png", cv2.cvtColor(to_rgb(image), cv2.COLOR_RGB2BGR))[1])


def _compare_inset(
    a: LoadedImage, b: LoadedImage, full: tuple[RGB, RGB], verdict: Verdict, calibration: Calibration
) -> ImageComparison | None:
    """Return the comparison as a small image inside the other one; the smaller file is searched for first."""
    first, second = full
    for first_inside in (False, True) if is_in_order(a.subject, b.subject) else (True, False):
        query, page, loaded = (first, second, a) if first_inside else (second, first, b)
        inset = verify_inset(query, page, verdict, calibration) if _is_distinctive(loaded) else None
        if inset is None:
            continue
        if first_inside:
            return ImageComparison(a, b, inset, explain_inset(first, second, inset, b.image.shape[:2]))
        sizes = [(image.shape[1], image.shape[0]) for image in (second, first)]
        inset = swap_sides(inset, sizes[0], sizes[1])
        return ImageComparison(a, b, inset, explain_part(first, second, inset))
    return None


def _is_distinctive(loaded: LoadedImage) -> bool:
    """Return whether an image has enough detail to be judged, so that finding it in another one means something."""
    return loaded.subject.features is not None and not too_poor(loaded.subject.features)


def _full_image(source: str | Path | bytes) -> RGB:
    return decode(source).image if isinstance(source, bytes) else read_rgb(str(source))


def load_image(source: str | Path | bytes, embedder: Embedder, *, limits: Limits | None = None) -> LoadedImage:
    """Read, decode and embed one image and find its features. Raises ImageError, naming the file."""
    limits = limits or Limits()
    name = "bytes" if isinstance(source, bytes) else str(source)
    try:
        data = source if isinstance(source, bytes) else read(to_text(expanded(source)), limits)
        image = decode(data, side=SIDE, limits=limits)
    except ImageError as error:
        raise type(error)(str(error) if name in str(error) else f"{name}: {error}") from error
    sha256 = hashlib.sha256(data).hexdigest()
    size = (image.width, image.height)
    vector = part_of(embedder.embed([fit(image.image, embedder.card.preprocessing)])[0], embedder.card, COPY)
    features = find_features(image.image, size=size, side=PREVIEW_SIDE, count=PREVIEW_COUNT)
    facts: dict[str, Any] = {
        "file": name,
        "sha256": sha256,
        "bytes": len(data),
        "width": image.width,
        "height": image.height,
        "format": image.format,
        "features": len(features),
    }
    if not isinstance(source, bytes):
        facts["modified"] = _modified_at(expanded(source))
    load = bytes_loader(data, limits) if isinstance(source, bytes) else file_loader(to_text(Path(name)), limits=limits)
    return LoadedImage(
        image.image, Subject(name=name, vector=vector, features=features, sha256=sha256, load=load), facts
    )


def read_rgb(name: str, *, side: int | None = None, limits: Limits | None = None) -> RGB:
    """Return the upright RGB image of a file, reduced to about `side` if given. Raises ImageError, naming the file."""
    limits = limits or Limits()
    try:
        return decode(read(to_text(expanded(name)), limits), side=side, limits=limits).image
    except ImageError as error:
        raise type(error)(str(error) if name in str(error) else f"{name}: {error}") from error


def verify_pairs(
    pairs: Sequence[tuple[str, str]], embedder: Embedder, calibration: Calibration, *, workers: int = 2
) -> "list[Verdict | str]":
    """Return the verdict of each pair of files, in order, or the reason why one of the two cannot be used.

    Each file is read once, however many pairs name it. `workers` threads read and compare.
    """
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    with ThreadPoolExecutor(workers) as pool:
        subjects = dict(zip(names, pool.map(lambda n: _load_subject(n, embedder), names), strict=True))

        def compare_pair(pair: tuple[str, str]) -> Verdict | str:
            a, b = (subjects[name] for name in pair)
            if isinstance(a, str) or isinstance(b, str):
                return a if isinstance(a, str) else str(b)
            return judge(a, b, calibration)

        return list(pool.map(compare_pair, pairs))


def _load_subject(name: str, embedder: Embedder) -> Subject | str:
    """Return a file as a subject without its pixels, or the reason why it cannot be used."""
    try:
        return load_image(name, embedder).subject
    except ImageError as error:
        return str(error)


def _modified_at(path: Path) -> str | None:
    try:
        return datetime.fromtimestamp(os.stat(path).st_mtime, UTC).isoformat(timespec="seconds")
    except OSError:
        return None
