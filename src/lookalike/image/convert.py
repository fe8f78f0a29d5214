"""Convert images held in memory (NumPy arrays, Pillow images) to upright RGB."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadQuery
from lookalike.image.color.to_rgb import flatten_to_rgb, to_uint8
from lookalike.image.decoding.decode import finish
from lookalike.types import RGB

if TYPE_CHECKING:
    from PIL import Image

    ImageLike: TypeAlias = str | Path | bytes | RGB | Image.Image
    """A path, "id:ID", the bytes of a file, an array or a Pillow image."""
else:
    ImageLike = object


def image_name(image: ImageLike) -> str:
    """Return the name of an image in results and errors: its path, or the kind of object it is."""
    if isinstance(image, str | Path):
        return str(image)
    return "bytes" if isinstance(image, bytes) else "picture"


def to_rgb(image: Any) -> RGB:
    """Convert a NumPy array or a Pillow image to upright RGB, by the same rules as files.

    Arrays: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), channels last, red first; uint8, uint16, bool, or floats from
    0 to 1. Pillow images: any mode; their EXIF orientation is applied. The argument is never modified; an array that
    already has the right form is returned unchanged. Raises BadQuery.
    """
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if hasattr(image, "getexif") and hasattr(image, "mode"):
        return _from_pillow(image)
    raise BadQuery(
        f"an image must be a NumPy array or a Pillow image, not {type(image).__name__}; use decode() for bytes"
    )


def _from_array(array: NDArray[Any]) -> RGB:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise BadQuery(f"an array of shape {array.shape} is not an image; pass (height, width, 1, 3 or 4 channels)")
    if array.size == 0:
        raise BadQuery(f"an array of shape {array.shape} has no pixels")
    if array.dtype.kind == "f":
        _check_floats(array)
    elif array.dtype not in (np.uint8, np.uint16, np.bool_):
        raise BadQuery(
            f"samples of type {array.dtype} have no defined range; pass uint8, uint16, bool or floats 0 to 1"
        )
    return np.ascontiguousarray(flatten_to_rgb(to_uint8(array)))


def _check_floats(array: NDArray[Any]) -> None:
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # false for NaN too
        raise BadQuery(f"floats must lie between 0 and 1, not from {low:g} to {high:g}; divide by 255, or pass uint8")


def _from_pillow(image: "Image.Image") -> RGB:
    from lookalike.image.decoding.pillow_reader import pillow_samples, remaining_orientation
    from lookalike.image.decoding.silence import silence_pillow

    with silence_pillow():
        try:
            samples, icc = pillow_samples(image)
            orientation = remaining_orientation(image)  # after loading: Pillow rotates some formats itself
        except Exception as error:
            raise BadQuery(f"the Pillow image cannot be read ({error})") from error
    return finish(samples, icc, orientation, None)
