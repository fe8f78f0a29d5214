"""Choose the reader of each file, and the fast readers, one per format.

JPEG and opaque WebP: OpenCV. PNG, WebP with alpha, JPEG XL: imagecodecs. TIFF: tifffile. PAM and PSD: our own. Other
formats, and files that these readers reject: Pillow. Samples are (H, W[, channels]) as stored, not yet upright.
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
from lookalike.image.decoding.silence import load_imagecodecs
from lookalike.image.decoding.types import DecodedSamples, ImageEncoding
from lookalike.image.resize import MIN_SIDE_RATIO

_END_OF_IMAGE = b"\xff\xd9"

Samples = NDArray[Any]


class NotTrusted(Exception):
    """No trusted reader can decode these bytes."""


def is_trusted(data: bytes) -> bool:
    """Return whether the format has a reader that browsers have hardened; it may still reject this file."""
    known = sniff(data)
    return known is not None and known.name in _TRUSTED_FORMATS


def read_frames(
    data: bytes,
    encoding: ImageEncoding,
    frames: Sequence[int],
    *,
    side: int | None,
    limits: Limits,
    trusted: bool = False,
) -> Iterator[DecodedSamples]:
    """Decode frames, given in ascending order. `trusted`: raise NotTrusted instead of using an untrusted reader."""
    reader = _FAST_READERS.get(encoding.format)
    if reader is not None and list(frames) == [0]:
        try:
            samples = reader(data, encoding, side)
        except ImageError:
            raise
        except Exception as error:  # the next reader may decode part of what a fast reader rejects
            if is_out_of_memory(error):
                raise
            samples = None
        if samples is not None:
            yield DecodedSamples(samples, encoding.icc, encoding.orientation)
            return
    if trusted:
        raise NotTrusted
    if (multi_frame_reader := _MULTI_FRAME_READERS.get(encoding.format)) is None:
        yield from _pillow(data, encoding, frames, side, limits)
        return
    started = False
    try:
        for decoded in multi_frame_reader(data, frames, limits):
            started = True
            yield decoded
    except ImageError:
        raise
    except Exception as error:
        if started or is_out_of_memory(error):
            raise
        yield from _pillow(data, encoding, frames, side, limits)


def _pillow(
    data: bytes, encoding: ImageEncoding, frames: Sequence[int], side: int | None, limits: Limits
) -> Iterator[DecodedSamples]:
    if encoding.format == "JPEG" and not _has_end(data):
        data += _END_OF_IMAGE  # makes the decoder fill the missing part with gray instead of failing
    fallback = _FALLBACK_READERS.get(encoding.format)
    started = False
    try:
        for frame in pillow_frames(data, encoding, frames, side=side, limits=limits):
            started = True
            yield frame
    except Exception as error:
        if started or fallback is None or is_out_of_memory(error):
            raise
        yield DecodedSamples(fallback(data, encoding), encoding.icc, encoding.orientation)


def _buffer(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)


def _has_end(data: bytes) -> bool:
    return data[-4096:].rstrip(b"\0").endswith(_END_OF_IMAGE)


def reduction(short: int, side: int | None) -> int:
    """Return the factor, 1, 2, 4 or 8, by which a JPEG is decoded smaller."""
    if side is None:
        return 1
    return next((factor for factor in (8, 4, 2) if short >= factor * MIN_SIDE_RATIO * side), 1)


def _jpeg(data: bytes, encoding: ImageEncoding, side: int | None) -> Samples | None:
    # CMYK goes to Pillow, which handles its profile and Adobe's inversion; so does a truncated file, about which
    # OpenCV would print a warning to stderr.
    if encoding.cmyk or not _has_end(data):
        return None
    import cv2

    flags = {
        1: 0,
        2: cv2.IMREAD_REDUCED_GRAYSCALE_2,  # "grayscale" is the absent color bit; with RGB it means reduced RGB
        4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
        8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    }[reduction(min(encoding.width, encoding.height), side)]
    return _opencv(data, flags)


def _opencv(data: bytes, flags: int) -> Samples | None:
    import cv2

    return cv2.imdecode(_buffer(data), flags | cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)


def _png(data: bytes, _encoding: ImageEncoding, _side: int | None) -> Samples | None:
    imagecodecs = load_imagecodecs()

    samples: Samples = imagecodecs.png_decode(data)
    return samples


def _webp(data: bytes, encoding: ImageEncoding, _side: int | None) -> Samples | None:
    if encoding.frames > 1:
        return None
    if not encoding.alpha:
        return _opencv(data, 0)
    imagecodecs = load_imagecodecs()

    samples: Samples = imagecodecs.webp_decode(data)
    return samples


def _jxl(data: bytes, _encoding: ImageEncoding, _side: int | None) -> Samples | None:
    imagecodecs = load_imagecodecs()

    try:
        samples: Samples = imagecodecs.jpegxl_decode(data, index=0, numthreads=1)
    except Exception as error:  # no other reader supports the format
        if is_out_of_memory(error):
            raise
        raise UnreadableImage("is a JPEG XL image that is damaged or truncated") from error
    return samples


def _pam(data: bytes, _encoding: ImageEncoding, _side: int | None) -> Samples | None:
    try:
        return read_pam(data)
    except Exception as error:
        raise UnreadableImage(f"is a damaged PAM image ({error})") from error


def _jpeg_fallback(data: bytes, encoding: ImageEncoding) -> Samples:
    """Decode JPEGs that OpenCV and Pillow do not support: 12 bits a sample, lossless, arithmetic coding."""
    imagecodecs = load_imagecodecs()

    samples: Samples = imagecodecs.jpeg8_decode(data)
    return in_full_range(samples, encoding.bits)


def _tiff_fallback(data: bytes, _encoding: ImageEncoding) -> Samples:
    """Decode TIFFs of color floats, 64 bits or rare compressions; separate planes become channels."""
    imagecodecs = load_imagecodecs()

    samples: Samples = np.asarray(imagecodecs.tiff_decode(data, index=0))
    if samples.ndim == 3 and samples.shape[0] <= 4 < samples.shape[2]:
        samples = np.moveaxis(samples, 0, 2)
    return samples


_FAST_READERS: dict[str, Callable[[bytes, ImageEncoding, int | None], Samples | None]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "JXL": _jxl,
    "PAM": _pam,
}
_MULTI_FRAME_READERS: dict[str, Callable[[bytes, Sequence[int], Limits], Iterator[DecodedSamples]]] = {
    "TIFF": tiff_frames,
    "PSD": psd_frames,
}
# Not AVIF: imagecodecs writes past its buffer when it decodes one frame of several.
_FALLBACK_READERS: dict[str, Callable[[bytes, ImageEncoding], Samples]] = {
    "JPEG": _jpeg_fallback,
    "TIFF": _tiff_fallback,
}
_TRUSTED_FORMATS = frozenset({"JPEG", "PNG", "WEBP"})
