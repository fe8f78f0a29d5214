"""Read TIFF by its tags: photometric interpretation, bits, sample format, planes, extra samples (TIFF 6.0; TechNotes).

tifffile reads the directories and imagecodecs decompresses; this module interprets the samples, which Pillow and OpenCV
get wrong for many files (docs/images.md). Files that these libraries cannot decode are passed on to Pillow.
"""

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import UnreadableImage
from lookalike.image.color.lab import lab_to_rgb
from lookalike.image.color.profiles import cmyk_to_rgb
from lookalike.image.color.to_rgb import in_full_range, to_uint8
from lookalike.image.containers.raw import check_directories
from lookalike.image.decoding.limits import Limits, check_memory, check_pixels, decoding_memory
from lookalike.image.decoding.silence import load_imagecodecs
from lookalike.image.decoding.types import DecodedSamples, ImageEncoding

if TYPE_CHECKING:
    import tifffile

Samples = NDArray[Any]

_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _TRANSPARENCY, _CMYK, _YCBCR = 0, 1, 2, 3, 4, 5, 6
_CIELAB, _ICCLAB = 8, 9
_UNSUPPORTED = {10: "ITULAB colors", 32844: "LogL colors", 32845: "LogLuv colors"}
_COLOR_COUNTS = {_RGB: 3, _YCBCR: 3, _CMYK: 4, _CIELAB: 3, _ICCLAB: 3}
_TO_RGB = frozenset({6, 7, 33003, 33004, 33005, 34712, 34892})  # compressions whose decoders return RGB
_ASSOCIATED, _UNASSOCIATED = 1, 2  # types of alpha: premultiplied or straight
_ICC, _INK_SET, _ORIENTATION = 34675, 332, 274
_MAX_EXAMINED = 100  # pages examined for their kind


def tiff_encoding(data: bytes) -> ImageEncoding:
    """Read how the image is encoded. Raises UnreadableImage and any exception of tifffile."""
    with _open(data) as file:
        page_numbers = _image_pages(file)
        page = _page(file, page_numbers[0])
        return ImageEncoding(
            format="TIFF",
            width=page.imagewidth,
            height=page.imagelength,
            frames=len(page_numbers),
            orientation=_orientation(page),
            icc=_profile(page),
        )


def tiff_frames(data: bytes, frames: Sequence[int], limits: Limits) -> Iterator[DecodedSamples]:
    """Decode pages to RGB, gray or RGBA. Raises UnreadableImage, ImageTooLarge and any exception of the codecs."""
    load_imagecodecs()
    with _open(data) as file:
        page_numbers = _image_pages(file)
        for frame in frames:
            page = _page(file, page_numbers[frame])
            check_pixels(page.imagewidth, page.imagelength, limits)
            pixels = page.imagewidth * page.imagelength
            if int(page.imagedepth) != 1 or int(page.tiledepth or 1) > 1:
                raise UnreadableImage("is a TIFF with a volume, which is not supported")
            if int(page.photometric) == _YCBCR and int(page.compression) not in _TO_RGB:
                raise NotImplementedError("YCbCr that is no JPEG")  # Pillow converts it, with libtiff
            depth = _sample_bytes(page)
            check_memory(decoding_memory(pixels, int(page.samplesperpixel) * depth, depth), limits)
            yield _to_samples(page, _channels_last(page), _profile(page))


def _open(data: bytes) -> "tifffile.TiffFile":
    import logging

    import tifffile

    check_directories(data)
    logger = logging.getLogger("tifffile")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
    return tifffile.TiffFile(io.BytesIO(data))


def _image_pages(file: "tifffile.TiffFile") -> list[int]:
    """Return the numbers of the pages that are images, not reduced copies or masks of others."""
    count = len(file.pages)
    kinds = [int(_page(file, n).subfiletype) for n in range(min(count, _MAX_EXAMINED))]
    own = [n for n, kind in enumerate(kinds) if not kind & (_REDUCED | _MASK)]
    return [*(own or range(len(kinds))), *range(len(kinds), count)]


def _page(file: "tifffile.TiffFile", number: int) -> "tifffile.TiffPage":
    import tifffile

    page = file.pages[number]
    if not isinstance(page, tifffile.TiffPage):
        raise UnreadableImage("has a page that cannot be read")
    return page


def _orientation(page: "tifffile.TiffPage") -> int:
    tag = page.tags.get(_ORIENTATION)
    stated = int(tag.value) if tag is not None and isinstance(tag.value, int) else 1
    return stated if 1 <= stated <= 8 else 1


def _profile(page: "tifffile.TiffPage") -> bytes | None:
    tag = page.tags.get(_ICC)
    return tag.value if tag is not None and isinstance(tag.value, bytes) else None


def _sample_bytes(page: "tifffile.TiffPage") -> int:
    return max(1, (int(page.bitspersample) + 7) // 8)


def _channels_last(page: "tifffile.TiffPage") -> Samples:
    """Return the samples as (H, W, channels)."""
    samples = np.asarray(page.asarray(maxworkers=1))
    if page.planarconfig == 2 and page.samplesperpixel > 1:
        samples = np.moveaxis(samples.reshape(page.samplesperpixel, page.imagelength, page.imagewidth), 0, 2)
    return samples.reshape(page.imagelength, page.imagewidth, -1)


def _to_samples(page: "tifffile.TiffPage", samples: Samples, icc: bytes | None) -> DecodedSamples:
    photometric, orientation = int(page.photometric), _orientation(page)
    if photometric in _UNSUPPORTED:
        raise UnreadableImage(f"is a TIFF with {_UNSUPPORTED[photometric]}, which are not supported")
    if photometric == _PALETTE:
        return DecodedSamples(_apply_palette(page, samples[:, :, 0]), icc, orientation)
    color_count = min(_COLOR_COUNTS.get(photometric, 1), samples.shape[2])
    alpha = _alpha(page, samples, color_count)
    colors = samples[:, :, :color_count]
    if photometric in (_CIELAB, _ICCLAB):
        return DecodedSamples(lab_to_rgb(colors, offset=photometric == _ICCLAB), None, orientation)
    if photometric == _CMYK:
        return DecodedSamples(_cmyk_samples(page, colors, icc), None, orientation)
    colors = in_full_range(colors, int(page.bitspersample))
    if photometric == _WHITE_IS_ZERO:
        colors = _invert(colors)
    if color_count != 3:
        colors = colors[:, :, :1]
    if alpha is None:
        return DecodedSamples(colors, icc, orientation)
    return DecodedSamples(
        _with_alpha(colors, in_full_range(alpha[0], int(page.bitspersample)), kind=alpha[1]), icc, orientation
    )


def _alpha(page: "tifffile.TiffPage", samples: Samples, color_count: int) -> tuple[Samples, int] | None:
    """Return the alpha channel and its type; other extra samples are not part of the image."""
    for n, kind in enumerate(page.extrasamples):
        if int(kind) in (_ASSOCIATED, _UNASSOCIATED) and color_count + n < samples.shape[2]:
            return samples[:, :, color_count + n : color_count + n + 1], int(kind)
    return None


def _invert(samples: Samples) -> Samples:
    if samples.dtype == np.bool_:
        return ~samples
    if samples.dtype.kind == "u":
        return np.asarray(np.iinfo(samples.dtype).max - samples)
    if samples.dtype.kind == "i":
        return np.asarray(-1 - samples)
    low, high = float(np.nanmin(samples)), float(np.nanmax(samples))
    return np.asarray((1 if low >= 0 and high <= 1 else low + high) - samples)


def _with_alpha(colors: Samples, alpha: Samples, *, kind: int) -> Samples:
    """Return 8-bit RGBA; premultiplied colors are divided by alpha."""
    color, alpha8 = to_uint8(colors), _alpha_to_uint8(alpha)
    if kind == _ASSOCIATED:
        share = np.maximum(alpha8.astype(np.float32), 1) / 255
        color = np.minimum(np.rint(color / share), 255).astype(np.uint8)
    if color.shape[2] == 1:
        color = np.repeat(color, 3, axis=2)
    return np.concatenate((color, alpha8), axis=2)


def _alpha_to_uint8(alpha: Samples) -> NDArray[np.uint8]:
    """Convert alpha to 8 bits by the range of its type, never by its own minimum and maximum."""
    if alpha.dtype == np.uint8:
        return alpha
    full = float(np.iinfo(alpha.dtype).max) if alpha.dtype.kind in "ui" else max(1.0, float(np.nanmax(alpha)))
    return np.rint(np.clip(np.nan_to_num(alpha.astype(np.float64)) / full, 0, 1) * 255).astype(np.uint8)


def _apply_palette(page: "tifffile.TiffPage", samples: Samples) -> Samples:
    """Look up palette colors, (H, W, 3); some writers store palettes with 8 bits instead of 16."""
    table = np.asarray(page.colormap, np.uint16).reshape(3, -1).T
    if int(table.max()) < 256:
        table = table * np.uint16(257)
    return np.asarray(table[np.minimum(samples, len(table) - 1)])


def _cmyk_samples(page: "tifffile.TiffPage", samples: Samples, icc: bytes | None) -> Samples:
    from PIL import Image

    tag = page.tags.get(_INK_SET)
    if samples.shape[2] != 4 or (tag is not None and tag.value == 2):
        raise UnreadableImage("is a TIFF with inks other than CMYK, which are not supported")
    inks = to_uint8(in_full_range(samples, int(page.bitspersample)))
    return np.asarray(cmyk_to_rgb(Image.fromarray(np.ascontiguousarray(inks), "CMYK"), icc))
