"""The fast readers, one a format, and which reader gets which file.

JPEG and opaque WebP: OpenCV. PNG, WebP with alpha, JPEG XL, odd TIFF: imagecodecs. PAM: our own. All else, and
whatever these refuse: Pillow. Each gives samples (H, W[, channels]) as stored, not yet upright.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import ImageError, UnreadableImage
from lookalike.image.color.to_rgb import in_full_range
from lookalike.image.containers.pam import read_pam
from lookalike.image.containers.psd import psd_frames
from lookalike.image.containers.tiff import tiff_frames
from lookalike.image.decoding.formats import sniff
from lookalike.image.decoding.limits import Limits, is_out_of_memory
from lookalike.image.decoding.pillow_reader import pillow_frames
from lookalike.image.decoding.silence import quiet_imagecodecs
from lookalike.image.decoding.types import Facts, Raster

ENOUGH = 1.5  # a JPEG is decoded so small that its short side stays this many times the side asked for
_END = b"\xff\xd9"

Samples = NDArray[Any]


class NotTrusted(Exception):
    """No trusted reader takes these bytes."""


def is_trusted(data: bytes) -> bool:
    """Whether a format has a reader that browsers have hardened; it may still refuse this file."""
    known = sniff(data)
    return known is not None and known.name in _TRUSTED


def read_frames(
    data: bytes, facts: Facts, frames: Sequence[int], *, side: int | None, limits: Limits, trusted: bool = False
) -> Iterator[Raster]:
    """Each frame asked for, in rising order. `trusted`: raise NotTrusted rather than use another than those."""
    reader = _FAST.get(facts.format)
    if reader is not None and list(frames) == [0]:
        try:
            samples = reader(data, facts, side)
        except ImageError:
            raise
        except Exception as error:  # what a fast reader refuses may still be read in part by the next
            if is_out_of_memory(error):
                raise
            samples = None
        if samples is not None:
            yield Raster(samples, facts.icc, facts.orientation)
            return
    if trusted:
        raise NotTrusted
    if (several := _SEVERAL.get(facts.format)) is None:
        yield from _slow(data, facts, frames, side, limits)
        return
    given = 0
    try:
        for raster in several(data, frames, limits):
            given += 1
            yield raster
    except ImageError:
        raise
    except Exception as error:
        if given or is_out_of_memory(error):
            raise
        yield from _slow(data, facts, frames, side, limits)


def _slow(data: bytes, facts: Facts, frames: Sequence[int], side: int | None, limits: Limits) -> Iterator[Raster]:
    if facts.format == "JPEG" and not _ends(data):
        data += _END  # makes the decoder fill what is missing with grey instead of giving up
    last_resort = _LAST_RESORT.get(facts.format)
    done = False
    try:
        for frame in pillow_frames(data, facts, frames, side=side, limits=limits):
            done = True
            yield frame
    except Exception as error:
        if done or last_resort is None or is_out_of_memory(error):
            raise
        yield Raster(last_resort(data, facts), facts.icc, facts.orientation)


def _buffer(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)


def _ends(data: bytes) -> bool:
    return data[-4096:].rstrip(b"\0").endswith(_END)


def reduction(short: int, side: int | None) -> int:
    """1, 2, 4 or 8: how many times smaller a JPEG is decoded."""
    if side is None:
        return 1
    return next((factor for factor in (8, 4, 2) if short >= factor * ENOUGH * side), 1)


def _jpeg(data: bytes, facts: Facts, side: int | None) -> Samples | None:
    # CMYK goes to Pillow, which knows its profile and Adobe's inversion; so does a file without an end, of which
    # OpenCV would complain on stderr.
    if facts.cmyk or not _ends(data):
        return None
    import cv2

    flags = {
        1: 0,
        2: cv2.IMREAD_REDUCED_GRAYSCALE_2,  # "grey" is the absence of the colour bit: with RGB it means reduced RGB
        4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
        8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    }[reduction(min(facts.width, facts.height), side)]
    return _opencv(data, flags)


def _opencv(data: bytes, flags: int) -> Samples | None:
    import cv2

    return cv2.imdecode(_buffer(data), flags | cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)


def _png(data: bytes, _facts: Facts, _side: int | None) -> Samples | None:
    imagecodecs = quiet_imagecodecs()

    samples: Samples = imagecodecs.png_decode(data)
    return samples


def _webp(data: bytes, facts: Facts, _side: int | None) -> Samples | None:
    if facts.frames > 1:
        return None
    if not facts.alpha:
        return _opencv(data, 0)
    imagecodecs = quiet_imagecodecs()

    samples: Samples = imagecodecs.webp_decode(data)
    return samples


def _jxl(data: bytes, _facts: Facts, _side: int | None) -> Samples | None:
    imagecodecs = quiet_imagecodecs()

    try:
        samples: Samples = imagecodecs.jpegxl_decode(data, index=0, numthreads=1)
    except Exception as error:  # no other reader knows the format
        if is_out_of_memory(error):
            raise
        raise UnreadableImage("is a JPEG XL picture that is damaged or stops half-way") from error
    return samples


def _pam(data: bytes, _facts: Facts, _side: int | None) -> Samples | None:
    try:
        return read_pam(data)
    except Exception as error:
        raise UnreadableImage(f"is a PAM picture that is damaged ({error})") from error


def _odd_jpeg(data: bytes, facts: Facts) -> Samples:
    """12 bits a sample, lossless, arithmetic coding: what neither OpenCV nor Pillow decodes."""
    imagecodecs = quiet_imagecodecs()

    samples: Samples = imagecodecs.jpeg8_decode(data)
    return in_full_range(samples, facts.bits)


def _odd_tiff(data: bytes, _facts: Facts) -> Samples:
    """Floats in colour, 64 bits, rare compressions. Planes one after another become channels."""
    imagecodecs = quiet_imagecodecs()

    samples: Samples = np.asarray(imagecodecs.tiff_decode(data, index=0))
    if samples.ndim == 3 and samples.shape[0] <= 4 < samples.shape[2]:
        samples = np.moveaxis(samples, 0, 2)
    return samples


_FAST: dict[str, Callable[[bytes, Facts, int | None], Samples | None]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "JXL": _jxl,
    "PAM": _pam,
}
_SEVERAL: dict[str, Callable[[bytes, Sequence[int], Limits], Iterator[Raster]]] = {
    "TIFF": tiff_frames,
    "PSD": psd_frames,
}
# Not AVIF: imagecodecs writes past its buffer when it decodes one frame of several.
_LAST_RESORT: dict[str, Callable[[bytes, Facts], Samples]] = {"JPEG": _odd_jpeg, "TIFF": _odd_tiff}
_TRUSTED = frozenset({"JPEG", "PNG", "WEBP"})
