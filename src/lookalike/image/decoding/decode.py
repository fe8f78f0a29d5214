"""Decode the bytes of an image file of any format to upright RGB, within limits. Only ImageError is raised."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import ImageError, ImageTooLarge, UnreadableImage
from lookalike.image.color.profiles import to_srgb
from lookalike.image.color.to_rgb import choose_background, flatten_to_rgb, to_uint8
from lookalike.image.color.transfer import to_srgb_transfer
from lookalike.image.decoding.exif import upright
from lookalike.image.decoding.header import read_encoding
from lookalike.image.decoding.limits import (
    Limits,
    check_memory,
    check_pixels,
    decoding_memory,
    is_out_of_memory,
    too_many_bytes,
)
from lookalike.image.decoding.readers import NotTrusted, is_trusted, read_frames
from lookalike.image.decoding.types import ImageEncoding
from lookalike.image.resize import halved, halvings_of, shrink
from lookalike.types import RGB

_DEFAULT_LIMITS = Limits()
_LARGE_PIXELS, _STRIP = 4_000_000, 1024  # rows of a strip: 2 ** 10, since an image is halved at most ten times
_STRIP_TYPES = (np.dtype(np.uint8), np.dtype(np.uint16))  # other types are stretched over the whole image's range
DISPLAY_NAMES = {"JXL": "JPEG XL"}


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A decoded image. `width` and `height`: of the full upright image in pixels; `image` may be reduced.

    `bits`: per sample as stored. `orientation`: that was applied, as in EXIF.
    """

    image: RGB
    width: int
    height: int
    format: str
    frame: int
    frames: int
    bits: int = 8
    orientation: int = 1


def decode(data: bytes, *, side: int | None = None, frame: int = 0, limits: Limits = _DEFAULT_LIMITS) -> DecodedImage:
    """Decode one frame of an image file's bytes to upright, contiguous RGB.

    `side`: pixels the caller needs along the short side; a larger image is reduced to a short side of at least 1.5
    times that. None: full size. Raises UnreadableImage and ImageTooLarge; the message is the reason without the path.
    """
    return _decode_chosen(data, lambda count: [frame] if 0 <= frame < count else None, side, limits)[0]


def decode_frames(
    data: bytes, count: int, *, side: int | None = None, limits: Limits = _DEFAULT_LIMITS, trusted: bool = False
) -> list[DecodedImage]:
    """Decode up to `count` evenly spaced frames of an animation or multi-page file, including the first.

    The file is read in one pass. A damaged frame ends the list, unless it is the first. `trusted`: use only the
    readers that browsers have hardened; raises NotTrusted if none applies. Other errors as in `decode`.
    """
    if trusted and not is_trusted(data):
        raise NotTrusted
    return _decode_chosen(data, lambda frames: evenly(frames, count), side, limits, trusted=trusted)


def evenly(frames: int, count: int) -> list[int]:
    """Return at most `count` evenly spaced frame numbers from 0 to frames - 1, starting with 0."""
    number = max(1, min(count, frames))
    return [n * frames // number for n in range(number)]


def _decode_chosen(
    data: bytes,
    choose_frames: Callable[[int], list[int] | None],
    side: int | None,
    limits: Limits,
    *,
    trusted: bool = False,
) -> list[DecodedImage]:
    with _only_image_errors():
        encoding = _read_checked_encoding(data, limits)
        frames = choose_frames(encoding.frames)
        if frames is None:
            raise UnreadableImage(f"has {encoding.frames} frames, numbered from 0; the requested frame does not exist")
        return _decode_frames(data, encoding, frames, side, limits, trusted=trusted)


def _read_checked_encoding(data: bytes, limits: Limits) -> ImageEncoding:
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(too_many_bytes(len(data), limits))
    encoding = read_encoding(data)
    if encoding.profile_missing:
        name = DISPLAY_NAMES.get(encoding.format, encoding.format)
        raise UnreadableImage(f"is a {name} image in the colors of a profile, which is not supported")
    check_pixels(encoding.width, encoding.height, limits)
    if encoding.format in ("PNG", "WEBP"):  # other readers check by themselves, with more detail
        check_memory(
            decoding_memory(encoding.width * encoding.height, encoding.pixel_bytes, 2 if encoding.bits == 16 else 1),
            limits,
        )
    return encoding


def _decode_frames(
    data: bytes, encoding: ImageEncoding, frames: Sequence[int], side: int | None, limits: Limits, *, trusted: bool
) -> list[DecodedImage]:
    images: list[DecodedImage] = []
    decoded_frames = read_frames(data, encoding, frames, side=side, limits=limits, trusted=trusted)
    header = encoding.header
    for frame in frames:
        try:
            decoded = next(decoded_frames)
            samples = decoded.samples
            if encoding.space is not None and not encoding.space.is_srgb:
                samples = to_srgb_transfer(samples, encoding.space)
            image = finish(samples, decoded.icc, decoded.orientation, side)
        except Exception:
            if not images:
                raise
            break
        images.append(
            DecodedImage(
                image, header.width, header.height, header.format, frame, header.frames, encoding.bits,
                encoding.orientation,
            )
        )  # fmt: skip
    return images


def finish(samples: NDArray[Any], icc: bytes | None, orientation: int, side: int | None) -> RGB:
    """Convert samples as stored to upright RGB: depth, background, size, color, orientation, in the cheapest order."""
    halvings = halvings_of(samples.shape[0], samples.shape[1], side)
    if halvings and samples.dtype in _STRIP_TYPES and samples.shape[0] * samples.shape[1] > _LARGE_PIXELS:
        flat = _in_strips(samples, halvings)
    else:
        flat = shrink(flatten_to_rgb(to_uint8(samples)), side)
    return upright(to_srgb(flat, icc), orientation)


def _in_strips(samples: NDArray[Any], halvings: int) -> RGB:
    """Convert to RGB and reduce strip by strip, which needs little memory beside the samples."""
    background = choose_background(samples) if samples.ndim == 3 and samples.shape[2] in (2, 4) else None
    strips = []
    for top in range(0, len(samples), _STRIP):
        rows = np.ascontiguousarray(samples[top : top + _STRIP])
        strips.append(halved(flatten_to_rgb(to_uint8(rows), background), halvings))
    return np.concatenate([strip for strip in strips if len(strip)])


@contextlib.contextmanager
def _only_image_errors() -> Iterator[None]:
    """Translate any exception of a reader into an ImageError with a readable reason."""
    try:
        yield
    except (ImageError, NotTrusted):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            reason = "there is not enough memory to decode it; lower max_pixels to refuse it sooner"
            raise ImageTooLarge(reason) from error
        if type(error).__name__ == "DecompressionBombError":  # an image inside the image, as in ICO and ICNS
            raise ImageTooLarge("holds an image larger than its header states (max_pixels)") from error
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise UnreadableImage(f"is damaged ({reason})") from error
