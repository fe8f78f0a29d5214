"""Convert images with a color profile to sRGB, with lcms through Pillow."""

import hashlib
import io
import threading
from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from lookalike.types import RGB

if TYPE_CHECKING:
    from PIL import Image, ImageCms

NEARLY_SRGB = 3  # levels of 255: a profile that changes colors by no more counts as sRGB and is skipped
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def to_srgb(image: RGB, icc: bytes | None) -> RGB:
    """Convert an image to sRGB; it is returned unchanged without a profile, or with a broken or nearly sRGB one."""
    if not icc:
        return image
    conversion = _conversion(icc)
    if conversion is None or conversion[0] == "CMYK":
        return image
    mode, transform = conversion
    from PIL import Image, ImageCms

    # A gray image has become RGB with three equal channels; its gray profile applies to one of them.
    source = Image.fromarray(image if mode == "RGB" else np.ascontiguousarray(image[:, :, 0]))
    return np.asarray(ImageCms.applyTransform(source, transform), np.uint8)


def cmyk_to_rgb(image: "Image.Image", icc: bytes | None) -> "Image.Image":
    """Convert a Pillow image of mode CMYK to sRGB, by its profile or else by the simple formula 255 - ink."""
    conversion = _conversion(icc) if icc else None
    if conversion is not None and conversion[0] == "CMYK":
        from PIL import ImageCms

        converted = ImageCms.applyTransform(image, conversion[1])
        assert converted is not None  # only an in-place conversion returns nothing
        return converted
    return image.convert("RGB")


def pillow_lab_to_rgb(image: "Image.Image") -> "Image.Image":
    """Convert a Pillow image of mode LAB to sRGB."""
    from PIL import ImageCms

    converted = ImageCms.applyTransform(image, _lab_transform())
    assert converted is not None
    return converted


@lru_cache(maxsize=1)
def _lab_transform() -> "ImageCms.ImageCmsTransform":
    from PIL import ImageCms

    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")


def _conversion(icc: bytes) -> "tuple[str, ImageCms.ImageCmsTransform] | None":
    """Return (Pillow mode, transform to sRGB) of a profile; None when it changes nothing or is unusable."""
    key = hashlib.sha256(icc).digest()
    with _cache_lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
    conversion = _build_conversion(icc) if len(icc) <= _MAX_PROFILE_BYTES else None
    with _cache_lock:
        _cache[key] = conversion
        while len(_cache) > _MAX_CACHED:
            _cache.popitem(last=False)
    return conversion


# Keyed by the hash of the profile: a photo library has about a dozen, and large hostile ones are not retained.
_cache: "OrderedDict[bytes, tuple[str, ImageCms.ImageCmsTransform] | None]" = OrderedDict()
_cache_lock = threading.Lock()
_MAX_CACHED = 16
_MAX_PROFILE_BYTES = 4 * 2**20  # bytes; the largest printer profiles have 2 MiB


def _build_conversion(icc: bytes) -> "tuple[str, ImageCms.ImageCmsTransform] | None":
    from PIL import ImageCms

    try:
        profile = ImageCms.getOpenProfile(io.BytesIO(icc))
        mode = _SPACES[profile.profile.xcolor_space.strip()]
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
    except Exception:  # an image with a broken profile is still usable
        return None
    return None if mode != "CMYK" and _changes_nothing(mode, transform) else (mode, transform)


def _changes_nothing(mode: str, transform: "ImageCms.ImageCmsTransform") -> bool:
    """Return whether a transform leaves a grid of colors practically unchanged; profile names are not reliable."""
    from PIL import Image, ImageCms

    steps = np.linspace(0, 255, 9).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    before = grid if mode == "RGB" else np.ascontiguousarray(np.broadcast_to(grid[:, :, :1], grid.shape))
    source = Image.fromarray(before if mode == "RGB" else np.ascontiguousarray(before[:, :, 0]))
    after = np.asarray(ImageCms.applyTransform(source, transform))
    return int(np.abs(after.astype(int) - before).max()) <= NEARLY_SRGB
