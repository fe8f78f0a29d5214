"""Limits on image size, checked before an image is decoded."""

from dataclasses import dataclass

from lookalike.errors import ImageTooLarge


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of what is read. `max_pixels`: width x height of one frame. `max_bytes`: size of the file on disk.

    `allow_private`: URLs may lead to hosts that are not public, and to any port.
    """

    max_pixels: int = 200_000_000
    max_bytes: int = 256 * 2**20
    allow_private: bool = False


def too_many_bytes(size: int, limits: Limits) -> str:
    """Return the error message for a file that exceeds `max_bytes`."""
    return f"is {size:,} bytes, the limit is {limits.max_bytes:,} (max_bytes)"


def check_pixels(width: int, height: int, limits: Limits) -> None:
    """Raise ImageTooLarge when the size in an image's header exceeds `max_pixels`."""
    if width * height > limits.max_pixels:
        raise ImageTooLarge(
            f"is {width:,} x {height:,} = {width * height:,} pixels, the limit is {limits.max_pixels:,} (max_pixels)"
        )


_MIN_MEMORY = 256 * 2**20  # bytes; always allowed, whatever max_pixels is
MEMORY_PER_PIXEL = 6  # bytes allowed per pixel of max_pixels


def decoding_memory(pixels: int, stored: int, depth: int = 1) -> int:
    """Return the bytes needed to convert an image to 8-bit RGB: as stored, in 8 bits, and as RGB.

    `stored`: bytes per pixel as stored. `depth`: bytes per sample.
    """
    return pixels * (stored + (stored // depth if depth > 1 else 0) + 3)


def check_memory(size: int, limits: Limits) -> None:
    """Raise ImageTooLarge when decoding would need more memory than allowed."""
    allowed = max(MEMORY_PER_PIXEL * limits.max_pixels, _MIN_MEMORY)
    if size > allowed:
        raise ImageTooLarge(
            f"takes {size:,} bytes of memory to decode, the limit is {allowed:,} ({MEMORY_PER_PIXEL} times max_pixels)"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a reader ran out of memory; errors of OpenCV and the codecs state it only in their message."""
    message = str(error).lower()
    return isinstance(error, MemoryError) or any(words in message for words in _OUT_OF_MEMORY)


_OUT_OF_MEMORY = ("insufficient memory", "out of memory", "bad allocation", "bad_alloc", "cannot allocate", "no memory")
