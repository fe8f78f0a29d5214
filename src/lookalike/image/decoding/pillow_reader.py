"""The second reader: Pillow, for every format and mode the fast readers do not know.

A format's class is called directly instead of Image.open: that imports only the plugin needed, tries no other (so
nothing calls Ghostscript), registers nothing, and leaves Pillow's process-wide pixel limit alone, as ours is checked.
"""

import importlib
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import UnreadableImage
from lookalike.image.color.profiles import cmyk_to_rgb, lab_to_rgb
from lookalike.image.containers.isobmff import exif_orientation, has_turn
from lookalike.image.decoding.exif import ORIENTATION
from lookalike.image.decoding.formats import BY_NAME, Format
from lookalike.image.decoding.limits import Limits, check_memory, check_pixels, is_out_of_memory
from lookalike.image.decoding.silence import quiet_pillow
from lookalike.image.decoding.types import Facts, Raster

if TYPE_CHECKING:
    from PIL import Image, ImageFile

_ONE_FRAME = frozenset({"PSD", "ICO", "ICNS", "CUR", "JPEG"})  # their further "frames" are layers or other sizes


def open_picture(data: bytes, known: Format) -> "ImageFile.ImageFile":
    """Pillow's lazy picture of these bytes: header read, pixels not."""
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


def pillow_facts(data: bytes, known: Format) -> Facts:
    """What the header tells, as Pillow reads it."""
    with quiet_pillow():
        image = open_picture(data, known)
        frames = 1 if known.name in _ONE_FRAME else _count(image)
        icc = image.info.get("icc_profile")
        orientation = _stated(image, known, data)
        width, height = image.size
        if known.name == "TIFF" and orientation >= 5:
            width, height = height, width  # Pillow turns a TIFF by itself, and tells its upright size
    return Facts(
        format=known.name,
        width=width,
        height=height,
        frames=frames,
        orientation=orientation,
        icc=icc if isinstance(icc, bytes) else None,
    )


def _count(image: "ImageFile.ImageFile") -> int:
    try:
        return max(1, int(getattr(image, "n_frames", 1)))
    except Exception:  # a damaged later frame does not spoil the first
        return 1


def _stated(image: "Image.Image", known: Format, data: bytes) -> int:
    """The orientation the file states. Pillow tells an AVIF's own turn as EXIF's; pillow-heif applies a HEIC's."""
    if known.name == "HEIC" or (known.name == "AVIF" and not has_turn(data)):
        return exif_orientation(data)
    return orientation_left(image)


def orientation_left(image: "Image.Image") -> int:
    """The orientation still to be applied to a Pillow picture, which Pillow itself may already have turned."""
    # A TIFF not loaded yet keeps the orientation among its own tags.
    tags = getattr(image, "tag_v2", None) if getattr(image, "tile", None) else None
    stated = (image.getexif() if tags is None else tags).get(ORIENTATION, 1)
    return stated if isinstance(stated, int) and 1 <= stated <= 8 else 1


def pillow_frames(
    data: bytes, facts: Facts, frames: Sequence[int], *, side: int | None, limits: Limits
) -> Iterator[Raster]:
    """Samples, colour profile and orientation of the frames asked for, in rising order, from one pass over the file."""
    known = BY_NAME[facts.format]
    with quiet_pillow():
        image = open_picture(data, known)
        first = image.tell()
        for frame in frames:
            if frame:
                # A HEIC's main picture need not be its first: ours comes first, the others in their order.
                image.seek(frame if frame > first else frame - 1)
            check_pixels(*image.size, limits)
            if known.name == "JPEG" and side is not None:
                factor = max(1, int(min(image.size) // (1.5 * side)))
                image.draft(None, (image.width // factor, image.height // factor))
            check_memory(image.width * image.height * _bytes_of(image, known), limits)
            _load(image)
            orientation = orientation_left(image) if known.name == "TIFF" else facts.orientation
            yield Raster(*samples_of(image), orientation)


def _bytes_of(image: "Image.Image", known: Format) -> int:
    """Bytes a pixel while it becomes RGB: Pillow's own, what a conversion adds, the array's."""
    planes = 6 if known.name in ("AVIF", "HEIC", "JPEG2000") else 0  # of the codec, beside the picture it gives
    if image.mode in ("1", "L"):
        return planes + 5
    return planes + (7 if image.mode in ("RGB", "P", "I;16") else 11)


def _load(image: "ImageFile.ImageFile") -> None:
    """Decode. Of a file that stops half-way the part that is there is kept; what is missing stays black."""
    try:
        image.load()
    except Exception as error:
        if is_out_of_memory(error):
            raise
        image.tile = []  # without tiles left to decode, Pillow takes what it has as the picture
        try:
            shown = bool(np.asarray(image).any())
        except Exception:
            shown = False
        if not shown:
            raise UnreadableImage("stops half-way or is damaged, and nothing of it could be shown") from error


def samples_of(image: "Image.Image") -> tuple[NDArray[Any], bytes | None]:
    """Samples (H, W[, channels]) of a loaded Pillow picture of any mode, and the profile still to be applied."""
    icc = image.info.get("icc_profile")
    icc = icc if isinstance(icc, bytes) else None
    mode = image.mode
    if mode == "CMYK":
        return np.asarray(cmyk_to_rgb(image, icc)), None
    if mode == "LAB":
        return np.asarray(lab_to_rgb(image)), None
    if mode == "I":
        samples = np.asarray(image)
        # Pillow scales a portable map of any maximum to 0..65535, but leaves other files' whole numbers as they are.
        return (samples.astype(np.uint16) if image.format == "PPM" else samples), icc
    if mode == "F" or mode.startswith("I;16"):
        return np.asarray(image), icc
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return np.asarray(image if mode == "RGBA" else image.convert("RGBA")), icc
    samples = np.asarray(image.convert("L" if mode in ("1", "L") else "RGB"))
    return (255 - samples if image.format == "XBM" else samples), icc  # what is set there is black
