"""From a file's bytes to upright RGB, whatever the format, within limits. Only an ImageError ever comes out."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import ImageError, ImageTooLarge, UnreadableImage
from lookalike.image.color.profiles import to_srgb
from lookalike.image.color.to_rgb import ground_of, to_rgb_on_ground, to_uint8
from lookalike.image.color.transfer import to_srgb_curve
from lookalike.image.decoding.exif import upright
from lookalike.image.decoding.header import read_facts
from lookalike.image.decoding.limits import (
    Limits,
    check_memory,
    check_pixels,
    is_out_of_memory,
    memory_of,
    too_many_bytes,
)
from lookalike.image.decoding.readers import NotTrusted, is_trusted, read_frames
from lookalike.image.decoding.types import Facts
from lookalike.image.resize import halved, halvings_of, shrink
from lookalike.types import RGB

_DEFAULT = Limits()
_LARGE_PIXELS, _STRIP = 4_000_000, 1024  # rows of a strip: a power of two that no picture is halved more often than
_BY_ROWS = (np.dtype(np.uint8), np.dtype(np.uint16))  # whose range is not the picture's own
NAMES = {"JXL": "JPEG XL"}


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded picture. `width` and `height` are of the full upright picture; `image` may be smaller."""

    image: RGB
    width: int
    height: int
    format: str
    frame: int
    frames: int


def decode(data: bytes, *, side: int | None = None, frame: int = 0, limits: Limits = _DEFAULT) -> Picture:
    """Decode one frame of a picture file's bytes to upright, contiguous RGB.

    `side`: how many pixels the caller needs along the short side; a larger picture comes reduced, its short side at
    least 1.5 times that. None: all pixels. Raises UnreadableImage and ImageTooLarge; the message is the reason alone.
    """
    return _decoded(data, lambda count: [frame] if 0 <= frame < count else None, side, limits)[0]


def decode_frames(
    data: bytes, count: int, *, side: int | None = None, limits: Limits = _DEFAULT, trusted: bool = False
) -> list[Picture]:
    """Decode `count` evenly spaced frames of an animation or multi-page file, the first included; or all it has.

    One pass over the file. A frame that is damaged ends the list, unless it is the first. `trusted`: only by the
    readers that are hardened by years of browsers; else raise NotTrusted. Errors as `decode`.
    """
    if trusted and not is_trusted(data):
        raise NotTrusted
    return _decoded(data, lambda frames: evenly(frames, count), side, limits, trusted=trusted)


def evenly(frames: int, count: int) -> list[int]:
    """At most `count` of the numbers 0 .. frames - 1, evenly spaced, beginning with 0."""
    wanted = max(1, min(count, frames))
    return [place * frames // wanted for place in range(wanted)]


def _decoded(
    data: bytes,
    choose: Callable[[int], list[int] | None],
    side: int | None,
    limits: Limits,
    *,
    trusted: bool = False,
) -> list[Picture]:
    with _only_image_errors():
        facts = _checked(data, limits)
        frames = choose(facts.frames)
        if frames is None:
            raise UnreadableImage(f"has {facts.frames} frames, numbered from 0: there is none of that number")
        return _pictures(data, facts, frames, side, limits, trusted=trusted)


def _checked(data: bytes, limits: Limits) -> Facts:
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(too_many_bytes(len(data), limits))
    facts = read_facts(data)
    if facts.profiled:
        name = NAMES.get(facts.format, facts.format)
        raise UnreadableImage(f"is a {name} picture in the colours of a profile, which is not supported")
    check_pixels(facts.width, facts.height, limits)
    if facts.format in ("PNG", "WEBP"):  # of the others the reader knows more
        check_memory(memory_of(facts.width * facts.height, facts.stored, 2 if facts.bits == 16 else 1), limits)
    return facts


def _pictures(
    data: bytes, facts: Facts, frames: Sequence[int], side: int | None, limits: Limits, *, trusted: bool
) -> list[Picture]:
    pictures: list[Picture] = []
    rasters = read_frames(data, facts, frames, side=side, limits=limits, trusted=trusted)
    header = facts.header
    for frame in frames:
        try:
            raster = next(rasters)
            samples = raster.samples
            if facts.space is not None and not facts.space.is_srgb:
                samples = to_srgb_curve(samples, facts.space)
            image = finish(samples, raster.icc, raster.orientation, side)
        except Exception:
            if not pictures:
                raise
            break
        pictures.append(Picture(image, header.width, header.height, header.format, frame, header.frames))
    return pictures


def finish(samples: NDArray[Any], icc: bytes | None, orientation: int, side: int | None) -> RGB:
    """Samples as stored to upright RGB: depth, ground, size, colour, orientation, in the order that costs least."""
    halvings = halvings_of(samples.shape[0], samples.shape[1], side)
    if halvings and samples.dtype in _BY_ROWS and samples.shape[0] * samples.shape[1] > _LARGE_PIXELS:
        flat = _in_strips(samples, halvings)
    else:
        flat = shrink(to_rgb_on_ground(to_uint8(samples)), side)
    return upright(to_srgb(flat, icc), orientation)


def _in_strips(samples: NDArray[Any], halvings: int) -> RGB:
    """The same with little memory beside the samples: some rows at a time, and reduced at once."""
    ground = ground_of(samples) if samples.ndim == 3 and samples.shape[2] in (2, 4) else None
    strips = []
    for top in range(0, len(samples), _STRIP):
        rows = np.ascontiguousarray(samples[top : top + _STRIP])
        strips.append(halved(to_rgb_on_ground(to_uint8(rows), ground), halvings))
    return np.concatenate([strip for strip in strips if len(strip)])


@contextlib.contextmanager
def _only_image_errors() -> Iterator[None]:
    """Readers fail in any way they like; what comes out is an ImageError with a plain reason."""
    try:
        yield
    except (ImageError, NotTrusted):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            reason = "there is not enough memory to decode it; lower max_pixels to refuse it sooner"
            raise ImageTooLarge(reason) from error
        if type(error).__name__ == "DecompressionBombError":  # a picture inside the picture, as in ICO and ICNS
            raise ImageTooLarge("holds a picture larger than its header says (max_pixels)") from error
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise UnreadableImage(f"is damaged ({reason})") from error
