"""Fallback reader: Pillow, for every format and mode that the fast readers do not support.

The class of a format is called directly instead of Image.open. This imports only the plugin needed, tries no other
plugin (so nothing runs Ghostscript), registers nothing, and does not touch Pillow's process-wide pixel limit, since
`Limits` are checked here.
"""

import importlib
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import UnreadableImage
from lookalike.image.color.profiles import cmyk_to_rgb, pillow_lab_to_rgb
from lookalike.image.containers.isobmff import exif_orientation, has_rotation
from lookalike.image.decoding.exif import ORIENTATION
from lookalike.image.decoding.formats import BY_NAME, Format
from lookalike.image.decoding.limits import Limits, check_memory, check_pixels, is_out_of_memory
from lookalike.image.decoding.silence import silence_pillow
from lookalike.image.decoding.types import DecodedSamples, ImageEncoding

if TYPE_CHECKING:
    from PIL import Image, ImageFile

_SINGLE_FRAME = frozenset({"PSD", "ICO", "ICNS", "CUR", "JPEG"})  # further "frames" of these are layers or other sizes


def open_image(data: bytes, known: Format) -> "ImageFile.ImageFile":
    """Open an image lazily: Pillow reads the header, not the pixels."""
    if known.plugin is None:
        raise UnreadableImage(f"{known.name} is not read by Pillow")
    module, name = known.plugin
    try:
        plugin = importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0].replace("_", "-")
        raise UnreadableImage(f"is {known.name}, which needs another package: pip install {package}") from error
    opened: ImageFile.ImageFile = getattr(plugin, name)(io.BytesIO(data))
    return opened


def pillow_encoding(data: bytes, known: Format) -> ImageEncoding:
    """Read how the image is encoded, with Pillow."""
    with silence_pillow():
        image = open_image(data, known)
        frames = 1 if known.name in _SINGLE_FRAME else _frame_count(image)
        icc = image.info.get("icc_profile")
        orientation = _stated_orientation(image, known, data)
        width, height = image.size
        if known.name == "TIFF" and orientation >= 5:
            width, height = height, width  # Pillow rotates TIFFs itself and reports their upright size
    return ImageEncoding(
        format=known.name,
        width=width,
        height=height,
        frames=frames,
        orientation=orientation,
        icc=icc if isinstance(icc, bytes) else None,
    )


def _frame_count(image: "ImageFile.ImageFile") -> int:
    try:
        return max(1, int(getattr(image, "n_frames", 1)))
    except Exception:  # the first frame is usable when a later one is damaged
        return 1


def _stated_orientation(image: "Image.Image", known: Format, data: bytes) -> int:
    """Return the orientation to apply. Pillow reports an AVIF's own rotation as EXIF; pillow-heif applies a HEIC's."""
    if known.name == "HEIC" or (known.name == "AVIF" and not has_rotation(data)):
        return exif_orientation(data)
    return remaining_orientation(image)


def remaining_orientation(image: "Image.Image") -> int:
    """Return the orientation still to be applied to a Pillow image; Pillow has already rotated some formats."""
    # A TIFF that is not loaded yet has the orientation among its own tags.
    tags = getattr(image, "tag_v2", None) if getattr(image, "tile", None) else None
    stated = (image.getexif() if tags is None else tags).get(ORIENTATION, 1)
    return stated if isinstance(stated, int) and 1 <= stated <= 8 else 1


def pillow_frames(
    data: bytes, encoding: ImageEncoding, frames: Sequence[int], *, side: int | None, limits: Limits
) -> Iterator[DecodedSamples]:
    """Decode frames, given in ascending order, in one pass over the file."""
    known = BY_NAME[encoding.format]
    with silence_pillow():
        image = open_image(data, known)
        first = image.tell()
        for frame in frames:
            if frame:
                # A HEIC's primary image need not be its first; it comes first here, the others in their order.
                image.seek(frame if frame > first else frame - 1)
            check_pixels(*image.size, limits)
            if known.name == "JPEG" and side is not None:
                factor = max(1, int(min(image.size) // (1.5 * side)))
                image.draft(None, (image.width // factor, image.height // factor))
            check_memory(image.width * image.height * _working_bytes(image, known), limits)
            _load(image)
            orientation = remaining_orientation(image) if known.name == "TIFF" else encoding.orientation
            yield DecodedSamples(*pillow_samples(image), orientation)


def _working_bytes(image: "Image.Image", known: Format) -> int:
    """Return the bytes per pixel while converting to RGB: Pillow's buffer, a conversion, and the array."""
    planes = 6 if known.name in ("AVIF", "HEIC", "JPEG2000") else 0  # buffers of the codec
    if image.mode in ("1", "L"):
        return planes + 5
    return planes + (7 if image.mode in ("RGB", "P", "I;16") else 11)


def _load(image: "ImageFile.ImageFile") -> None:
    """Decode the pixels. A truncated file is decoded as far as it goes; the rest is black."""
    try:
        image.load()
    except Exception as error:
        if is_out_of_memory(error):
            raise
        image.tile = []  # with no tiles left to decode, Pillow accepts the partial image
        try:
            has_pixels = bool(np.asarray(image).any())
        except Exception:
            has_pixels = False
        if not has_pixels:
            raise UnreadableImage("is truncated or damaged, and no part of it could be decoded") from error


def pillow_samples(image: "Image.Image") -> tuple[NDArray[Any], bytes | None]:
    """Return samples (H, W[, channels]) of a loaded Pillow image of any mode, and the profile still to be applied."""
    icc = image.info.get("icc_profile")
    icc = icc if isinstance(icc, bytes) else None
    mode = image.mode
    if mode == "CMYK":
        return np.asarray(cmyk_to_rgb(image, icc)), None
    if mode == "LAB":
        return np.asarray(pillow_lab_to_rgb(image)), None
    if mode == "I":
        samples = np.asarray(image)
        # Pillow scales portable maps of any maximum to 0..65535, but does not scale the integers of other files.
        return (samples.astype(np.uint16) if image.format == "PPM" else samples), icc
    if mode == "F" or mode.startswith("I;16"):
        return np.asarray(image), icc
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return np.asarray(image if mode == "RGBA" else image.convert("RGBA")), icc
    samples = np.asarray(image.convert("L" if mode in ("1", "L") else "RGB"))
    return (255 - samples if image.format == "XBM" else samples), icc  # set bits are black in XBM
