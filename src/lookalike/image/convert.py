"""Any picture held in memory, a numpy array or a Pillow image, to upright RGB: the door of the Python API."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadQuery
from lookalike.image.color.to_rgb import to_rgb_on_ground, to_uint8
from lookalike.image.decoding.decode import finish
from lookalike.types import RGB

if TYPE_CHECKING:
    from PIL import Image

    ImageLike: TypeAlias = str | Path | bytes | RGB | Image.Image
    """A path, "id:ID", the bytes of a file, an array or a Pillow image."""
else:
    ImageLike = object


def image_name(image: ImageLike) -> str:
    """What results and errors call an image: its path, or what kind of object it is."""
    if isinstance(image, str | Path):
        return str(image)
    return "bytes" if isinstance(image, bytes) else "picture"


def to_rgb(picture: Any) -> RGB:
    """Upright RGB of a numpy array or a Pillow image, by the same rules as files.

    Arrays: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), channels last, red first; uint8, uint16, bool, or floats from
    0 to 1. Pillow images: any mode, turned by their EXIF. The argument is never written on; an array that is right
    already is returned as it is. Raises BadQuery.
    """
    if isinstance(picture, np.ndarray):
        return _from_array(picture)
    if hasattr(picture, "getexif") and hasattr(picture, "mode"):
        return _from_pillow(picture)
    raise BadQuery(
        f"a picture is a numpy array or a Pillow image, not {type(picture).__name__}; use decode() for bytes"
    )


def _from_array(array: NDArray[Any]) -> RGB:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise BadQuery(f"an array of shape {array.shape} is not a picture; give (height, width, 1, 3 or 4 channels)")
    if array.size == 0:
        raise BadQuery(f"an array of shape {array.shape} holds no pixels")
    if array.dtype.kind == "f":
        _check_floats(array)
    elif array.dtype not in (np.uint8, np.uint16, np.bool_):
        raise BadQuery(f"samples of type {array.dtype} have no agreed range; give uint8, uint16, bool or floats 0 to 1")
    return np.ascontiguousarray(to_rgb_on_ground(to_uint8(array)))


def _check_floats(array: NDArray[Any]) -> None:
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # false for NaN too
        raise BadQuery(f"floats must lie from 0 to 1, these from {low:g} to {high:g}; divide by 255, or give uint8")


def _from_pillow(image: "Image.Image") -> RGB:
    from lookalike.image.decoding.pillow_reader import orientation_left, samples_of
    from lookalike.image.decoding.silence import quiet_pillow

    with quiet_pillow():
        try:
            samples, icc = samples_of(image)
            orientation = orientation_left(image)  # after loading: Pillow turns some by itself
        except Exception as error:
            raise BadQuery(f"the Pillow image cannot be read ({error})") from error
    return finish(samples, icc, orientation, None)
