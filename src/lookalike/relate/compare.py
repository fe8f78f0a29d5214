"""Two pictures, compared in full: vectors, features, verdict, words."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lookalike.errors import ImageError
from lookalike.image import Limits, decode, fit, read, to_text
from lookalike.relate.content.quality import too_poor
from lookalike.relate.geometry.feature_cache import bytes_loader, file_loader
from lookalike.relate.geometry.features import PREVIEW_COUNT, PREVIEW_SIDE, SIDE, find_features
from lookalike.relate.geometry.inset import explain_cut_out, explain_pasted, look_inside
from lookalike.relate.probability.calibration_model import Calibration
from lookalike.relate.relation import Subject, Verdict, judge
from lookalike.relate.swapped import swap_sides
from lookalike.relate.words.explain import Explanation, explain
from lookalike.types import RGB, Embedder, Relation


@dataclass(frozen=True, slots=True)
class Sighted:
    """One picture as compared: pixels reduced to about 768, what is known of it, and the facts of its file."""

    picture: RGB
    subject: Subject
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two pictures and what they are to each other."""

    first: Sighted
    second: Sighted
    verdict: Verdict
    explanation: Explanation


def compare(
    first: str | Path | bytes, second: str | Path | bytes, embedder: Embedder, calibration: Calibration
) -> Comparison:
    """Compare two picture files (or their bytes). Raises ImageError.

    Where the wholes do not prove a copy, looks whether one is a small part of the other: a second or two more.
    """
    a, b = look_at(first, embedder), look_at(second, embedder)
    verdict = judge(a.subject, b.subject, calibration)
    if verdict.relation < Relation.COPY:
        found = _one_inside_the_other(a, b, (_full(first), _full(second)), verdict, calibration)
        if found is not None:
            return found
    return Comparison(a, b, verdict, explain(a.picture, b.picture, verdict))


def _one_inside_the_other(
    a: Sighted, b: Sighted, full: tuple[RGB, RGB], verdict: Verdict, calibration: Calibration
) -> Comparison | None:
    first, second = full
    if _rich_enough(a) and (found := look_inside(first, second, verdict, calibration)):
        return Comparison(a, b, found, explain_pasted(first, second, found, b.picture.shape[:2]))
    if _rich_enough(b) and (found := look_inside(second, first, verdict, calibration)):
        sizes = [(picture.shape[1], picture.shape[0]) for picture in (second, first)]
        found = swap_sides(found, sizes[0], sizes[1])
        return Comparison(a, b, found, explain_cut_out(first, second, found))
    return None


def _rich_enough(sighted: Sighted) -> bool:
    """Whether a picture can be judged by itself, so that finding it in another means something."""
    return sighted.subject.features is not None and not too_poor(sighted.subject.features)


def _full(source: str | Path | bytes) -> RGB:
    return decode(source).image if isinstance(source, bytes) else picture_of(str(source))


def look_at(source: str | Path | bytes, embedder: Embedder, *, limits: Limits | None = None) -> Sighted:
    """Read, decode, embed one picture and find its features. Raises ImageError, naming the file."""
    used = limits or Limits()
    name = "bytes" if isinstance(source, bytes) else str(source)
    try:
        data = source if isinstance(source, bytes) else read(to_text(Path(source).expanduser()), used)
        picture = decode(data, side=SIDE, limits=used)
    except ImageError as error:
        raise type(error)(str(error) if name in str(error) else f"{name}: {error}") from error
    sha256 = hashlib.sha256(data).hexdigest()
    size = (picture.width, picture.height)
    (vector,) = embedder.embed([fit(picture.image, embedder.card.preprocessing)])
    features = find_features(picture.image, size=size, side=PREVIEW_SIDE, count=PREVIEW_COUNT)
    facts: dict[str, Any] = {
        "file": name,
        "sha256": sha256,
        "bytes": len(data),
        "width": picture.width,
        "height": picture.height,
        "format": picture.format,
        "features": len(features),
    }
    if not isinstance(source, bytes):
        facts["modified"] = _modified(Path(source).expanduser())
    load = bytes_loader(data, used) if isinstance(source, bytes) else file_loader(to_text(Path(name)), limits=used)
    return Sighted(picture.image, Subject(name=name, vector=vector, features=features, sha256=sha256, load=load), facts)


def picture_of(name: str, *, side: int | None = None, limits: Limits | None = None) -> RGB:
    """The upright RGB picture of a file, reduced to about `side` where one is given. Raises ImageError, naming it."""
    used = limits or Limits()
    try:
        return decode(read(to_text(Path(name).expanduser()), used), side=side, limits=used).image
    except ImageError as error:
        raise type(error)(str(error) if name in str(error) else f"{name}: {error}") from error


def verify_pairs(
    pairs: Sequence[tuple[str, str]], embedder: Embedder, calibration: Calibration, *, workers: int = 2
) -> "list[Verdict | str]":
    """The verdict of each pair of files, in order; the reason where one of the two cannot be used.

    Every file is read once, however many pairs name it; `workers` threads read and compare.
    """
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    with ThreadPoolExecutor(workers) as pool:
        seen = dict(zip(names, pool.map(lambda n: _subject(n, embedder), names), strict=True))

        def one(pair: tuple[str, str]) -> Verdict | str:
            a, b = (seen[name] for name in pair)
            if isinstance(a, str) or isinstance(b, str):
                return a if isinstance(a, str) else str(b)
            return judge(a, b, calibration)

        return list(pool.map(one, pairs))


def _subject(name: str, embedder: Embedder) -> Subject | str:
    """What is known of a file, without its pixels; the reason where it cannot be used."""
    try:
        return look_at(name, embedder).subject
    except ImageError as error:
        return str(error)


def _modified(path: Path) -> str | None:
    try:
        return datetime.fromtimestamp(os.stat(path).st_mtime, UTC).isoformat(timespec="seconds")
    except OSError:
        return None
