"""TIFF as its tags say: photometric interpretation, bits, sample format, planes, extra samples (TIFF 6.0; TechNotes).

tifffile reads the directories and imagecodecs the compressions; what the numbers mean is decided here, which Pillow and
OpenCV get wrong for many (docs/images.md). What these do not decode, Pillow may.
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
from lookalike.image.decoding.limits import Limits, check_memory, check_pixels, memory_of
from lookalike.image.decoding.silence import quiet_imagecodecs
from lookalike.image.decoding.types import Facts, Raster

if TYPE_CHECKING:
    import tifffile

Samples = NDArray[Any]

_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _TRANSPARENCY, _CMYK, _YCBCR = 0, 1, 2, 3, 4, 5, 6
_CIELAB, _ICCLAB = 8, 9
_UNSUPPORTED = {10: "ITULAB colours", 32844: "LogL colours", 32845: "LogLuv colours"}
_COLOURS = {_RGB: 3, _YCBCR: 3, _CMYK: 4, _CIELAB: 3, _ICCLAB: 3}
_TO_RGB = frozenset({6, 7, 33003, 33004, 33005, 34712, 34892})  # compressions whose decoders give RGB
_ASSOCIATED, _UNASSOCIATED = 1, 2  # extra samples that are alpha: multiplied into the colours, or beside them
_ICC, _INK_SET, _ORIENTATION = 34675, 332, 274
_MAX_LOOKED = 100  # pages that are looked at for what kind they are


def tiff_facts(data: bytes) -> Facts:
    """What the directories tell. Raises UnreadableImage, and whatever tifffile does."""
    with _opened(data) as file:
        places = _places(file)
        page = _page(file, places[0])
        return Facts(
            format="TIFF",
            width=page.imagewidth,
            height=page.imagelength,
            frames=len(places),
            orientation=_orientation(page),
            icc=_profile(page),
        )


def tiff_frames(data: bytes, frames: Sequence[int], limits: Limits) -> Iterator[Raster]:
    """The pages asked for as RGB, grey or RGBA samples. Raises UnreadableImage, ImageTooLarge, whatever codecs do."""
    quiet_imagecodecs()
    with _opened(data) as file:
        places = _places(file)
        for frame in frames:
            page = _page(file, places[frame])
            check_pixels(page.imagewidth, page.imagelength, limits)
            pixels = page.imagewidth * page.imagelength
            if int(page.imagedepth) != 1 or int(page.tiledepth or 1) > 1:
                raise UnreadableImage("is a TIFF of a volume, which is not supported")
            if int(page.photometric) == _YCBCR and int(page.compression) not in _TO_RGB:
                raise NotImplementedError("YCbCr that is no JPEG")  # libtiff, by Pillow, converts it
            depth = _bytes_of(page)
            check_memory(memory_of(pixels, int(page.samplesperpixel) * depth, depth), limits)
            yield _raster(page, _channels_last(page), _profile(page))


def _opened(data: bytes) -> "tifffile.TiffFile":
    import logging

    import tifffile

    check_directories(data)
    logger = logging.getLogger("tifffile")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
    return tifffile.TiffFile(io.BytesIO(data))


def _places(file: "tifffile.TiffFile") -> list[int]:
    """The numbers of the pages that are pictures of their own: not reduced copies and masks of others."""
    count = len(file.pages)
    kinds = [int(_page(file, n).subfiletype) for n in range(min(count, _MAX_LOOKED))]
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


def _bytes_of(page: "tifffile.TiffPage") -> int:
    return max(1, (int(page.bitspersample) + 7) // 8)


def _channels_last(page: "tifffile.TiffPage") -> Samples:
    """(H, W, samples)."""
    samples = np.asarray(page.asarray(maxworkers=1))
    if page.planarconfig == 2 and page.samplesperpixel > 1:
        samples = np.moveaxis(samples.reshape(page.samplesperpixel, page.imagelength, page.imagewidth), 0, 2)
    return samples.reshape(page.imagelength, page.imagewidth, -1)


def _raster(page: "tifffile.TiffPage", samples: Samples, icc: bytes | None) -> Raster:
    photometric, orientation = int(page.photometric), _orientation(page)
    if photometric in _UNSUPPORTED:
        raise UnreadableImage(f"is a TIFF with {_UNSUPPORTED[photometric]}, which are not supported")
    if photometric == _PALETTE:
        return Raster(_looked_up(page, samples[:, :, 0]), icc, orientation)
    colours = min(_COLOURS.get(photometric, 1), samples.shape[2])
    alpha = _alpha(page, samples, colours)
    seen = samples[:, :, :colours]
    if photometric in (_CIELAB, _ICCLAB):
        return Raster(lab_to_rgb(seen, offset=photometric == _ICCLAB), None, orientation)
    if photometric == _CMYK:
        return Raster(_inks(page, seen, icc), None, orientation)
    seen = in_full_range(seen, int(page.bitspersample))
    if photometric == _WHITE_IS_ZERO:
        seen = _inverted(seen)
    if colours != 3:
        seen = seen[:, :, :1]
    if alpha is None:
        return Raster(seen, icc, orientation)
    return Raster(_with_alpha(seen, in_full_range(alpha[0], int(page.bitspersample)), kind=alpha[1]), icc, orientation)


def _alpha(page: "tifffile.TiffPage", samples: Samples, colours: int) -> tuple[Samples, int] | None:
    """The channel of transparency and its kind; other extra samples are no part of the picture."""
    for n, kind in enumerate(page.extrasamples):
        if int(kind) in (_ASSOCIATED, _UNASSOCIATED) and colours + n < samples.shape[2]:
            return samples[:, :, colours + n : colours + n + 1], int(kind)
    return None


def _inverted(samples: Samples) -> Samples:
    if samples.dtype == np.bool_:
        return ~samples
    if samples.dtype.kind == "u":
        return np.asarray(np.iinfo(samples.dtype).max - samples)
    if samples.dtype.kind == "i":
        return np.asarray(-1 - samples)
    low, high = float(np.nanmin(samples)), float(np.nanmax(samples))
    return np.asarray((1 if low >= 0 and high <= 1 else low + high) - samples)


def _with_alpha(seen: Samples, alpha: Samples, *, kind: int) -> Samples:
    """RGBA of 8 bits; colours that are multiplied by their alpha are divided by it."""
    colour, cover = to_uint8(seen), _share(alpha)
    if kind == _ASSOCIATED:
        share = np.maximum(cover.astype(np.float32), 1) / 255
        colour = np.minimum(np.rint(colour / share), 255).astype(np.uint8)
    if colour.shape[2] == 1:
        colour = np.repeat(colour, 3, axis=2)
    return np.concatenate((colour, cover), axis=2)


def _share(alpha: Samples) -> NDArray[np.uint8]:
    """How much is covered, in 8 bits: of the range of its type, never of its own."""
    if alpha.dtype == np.uint8:
        return alpha
    full = float(np.iinfo(alpha.dtype).max) if alpha.dtype.kind in "ui" else max(1.0, float(np.nanmax(alpha)))
    return np.rint(np.clip(np.nan_to_num(alpha.astype(np.float64)) / full, 0, 1) * 255).astype(np.uint8)


def _looked_up(page: "tifffile.TiffPage", samples: Samples) -> Samples:
    """Colours of a palette, (H, W, 3); some writers gave it 8 bits instead of 16."""
    table = np.asarray(page.colormap, np.uint16).reshape(3, -1).T
    if int(table.max()) < 256:
        table = table * np.uint16(257)
    return np.asarray(table[np.minimum(samples, len(table) - 1)])


def _inks(page: "tifffile.TiffPage", samples: Samples, icc: bytes | None) -> Samples:
    from PIL import Image

    tag = page.tags.get(_INK_SET)
    if samples.shape[2] != 4 or (tag is not None and tag.value == 2):
        raise UnreadableImage("is a TIFF with inks other than CMYK, which are not supported")
    inks = to_uint8(in_full_range(samples, int(page.bitspersample)))
    return np.asarray(cmyk_to_rgb(Image.fromarray(np.ascontiguousarray(inks), "CMYK"), icc))
