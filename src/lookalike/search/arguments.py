"""Check the arguments of a collection's methods. One item where several are expected is a list of one."""

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, SupportsIndex, cast

import numpy as np

from lookalike.errors import BadQuery
from lookalike.image.convert import ImageLike
from lookalike.types import Metadata

_CHANNELS = (1, 3, 4)


def check_id(image_id: object) -> str:
    """Return an id if it is text. Raises BadQuery."""
    if not isinstance(image_id, str):
        raise BadQuery(f"the id {_shown(image_id)} is not text but {_type(image_id)}; pass the id as a str")
    return image_id


def id_list(ids: Iterable[str] | str) -> list[str]:
    """Return ids as a list; a single str is one id, not a sequence of letters. Raises BadQuery."""
    if isinstance(ids, str):
        return [ids]
    if isinstance(ids, bytes | Path) or not isinstance(ids, Iterable):
        raise BadQuery(f"ids must be a list of str or one str, not {_type(ids)}")
    return [check_id(image_id) for image_id in ids]


def image_list(images: Any) -> list[Any]:
    """Return images or queries as a list.

    A str, a Path, bytes, a Pillow image, a Query, or an array of one image is a list of one. An array of several
    images has the shape (n, height, width, channels) or (n, height, width). Raises BadQuery.
    """
    if isinstance(images, np.ndarray):
        return [images] if _is_one_image(images) else list(images)
    if isinstance(images, str | bytes | Path):
        return [images]
    if isinstance(images, Mapping) or images is None:
        raise BadQuery(f"images must be a list of images or one image, not {_type(images)}")
    return list(images) if isinstance(images, Iterable) else [images]


def image_tuple(images: Sequence[ImageLike] | ImageLike) -> tuple[ImageLike, ...]:
    """Return images as a tuple; see `image_list`."""
    return tuple(image_list(images))


def source_list(sources: Iterable[str | Path] | str | Path) -> list[str | Path]:
    """Return folders, files, globs, manifests or archives as a list; one needs no list. Raises BadQuery."""
    if isinstance(sources, str | Path):
        return [sources]
    if not isinstance(sources, Iterable):
        raise BadQuery(f"sources must be a list of paths or one path, not {_type(sources)}")
    listed = list(sources)
    for source in listed:
        if not isinstance(source, str | Path):
            raise BadQuery(f"the source {_shown(source)} is not a path but {_type(source)}; pass a str or a Path")
    return listed


def metadata_list(metadata: Sequence[Metadata] | Metadata, count: int, *, of: str = "ids") -> list[Metadata]:
    """Return one mapping for each of `count` items; a single mapping applies to all. NaN is a missing value.

    Raises BadQuery.
    """
    listed = [_without_nan(metadata)] * count if isinstance(metadata, Mapping) else _mappings(metadata)
    if len(listed) != count:
        raise BadQuery(f"there are {count} {of} and {len(listed)} metadata; pass one for each, or one for all")
    return listed


def _mappings(metadata: object) -> list[Metadata]:
    if isinstance(metadata, str | bytes) or not isinstance(metadata, Iterable):
        raise BadQuery(f"metadata must be a mapping or a list of mappings, not {_type(metadata)}")
    listed = list(metadata)
    for row in listed:
        if not isinstance(row, Mapping):
            raise BadQuery(f"each metadata must be a mapping of column names to values, not {_type(row)}")
    return [_without_nan(row) for row in listed]


def _without_nan(row: Metadata) -> Metadata:
    """Return a row with None for NaN: data frames have NaN for missing text too, which would become the text "nan"."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


def column_list(columns: Iterable[str] | str | None) -> list[str] | None:
    """Return names of columns as a list, None as it is; a single str is one name. Raises BadQuery."""
    if columns is None or isinstance(columns, str):
        return None if columns is None else [columns]
    listed = list(columns) if isinstance(columns, Iterable) else [columns]
    for name in listed:
        if not isinstance(name, str):
            raise BadQuery(f"the column {_shown(name)} is not text but {_type(name)}; pass its name as a str")
    return listed


def check_count(count: object, name: str = "k") -> int:
    """Return a positive whole number, also of NumPy, as an int. Raises BadQuery naming the argument."""
    if isinstance(count, bool | np.bool_) or not hasattr(count, "__index__"):
        raise BadQuery(f"{name} is {_shown(count)}, {_type(count)}; pass a whole number of at least 1")
    number = operator.index(cast("SupportsIndex", count))
    if number < 1:
        raise BadQuery(f"{name} is {number}; ask for at least one image")
    return number


def check_score(score: object, name: str = "min_score") -> float | None:
    """Return a score as a float, None as it is. Raises BadQuery naming the argument."""
    if score is None:
        return None
    if isinstance(score, bool | np.bool_) or not isinstance(score, Real) or not np.isfinite(number := float(score)):
        raise BadQuery(f"{name} is {_shown(score)}, {_type(score)}; pass a number from -1 to 1")
    return number


def check_recall(recall: object) -> float | None:
    """Return a share as a float, None as it is. Raises BadQuery."""
    if recall is None:
        return None
    if isinstance(recall, bool | np.bool_) or not isinstance(recall, Real) or not 0 < (number := float(recall)) <= 1:
        raise BadQuery(f"recall is {_shown(recall)}, {_type(recall)}; pass a number above 0, at most 1")
    return number


def _is_one_image(array: np.ndarray[Any, Any]) -> bool:
    """Return whether an array is one image: object arrays are lists, (height, width, 1, 3 or 4) is an image."""
    return array.dtype != object and (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in _CHANNELS))


def _type(value: object) -> str:
    return f"of type {type(value).__name__}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
