"""How large a picture may be before it is refused, unread."""

from dataclasses import dataclass

from lookalike.errors import ImageTooLarge


@dataclass(frozen=True, slots=True)
class Limits:
    """`max_pixels`: width x height of one frame. `max_bytes`: of the file as it lies on the disk."""

    max_pixels: int = 200_000_000
    max_bytes: int = 256 * 2**20


def too_many_bytes(size: int, limits: Limits) -> str:
    """Why a file is refused by its size: the size, the limit and the setting that moves it."""
    return f"is {size:,} bytes, the limit is {limits.max_bytes:,} (max_bytes)"


def check_pixels(width: int, height: int, limits: Limits) -> None:
    """Raise ImageTooLarge when the header of a picture promises more pixels than allowed."""
    if width * height > limits.max_pixels:
        raise ImageTooLarge(
            f"is {width:,} x {height:,} = {width * height:,} pixels, the limit is {limits.max_pixels:,} (max_pixels)"
        )


_MIN_MEMORY = 256 * 2**20  # bytes, however few pixels are allowed
MEMORY_PER_PIXEL = 6  # bytes, for each pixel that is allowed


def memory_of(pixels: int, stored: int, depth: int = 1) -> int:
    """Bytes that a picture takes while it becomes RGB of 8 bits: as stored (bytes a pixel), in 8 bits, as RGB."""
    return pixels * (stored + (stored // depth if depth > 1 else 0) + 3)


def check_memory(size: int, limits: Limits) -> None:
    """Raise ImageTooLarge when decoding by the header would take more memory than a picture may."""
    allowed = max(MEMORY_PER_PIXEL * limits.max_pixels, _MIN_MEMORY)
    if size > allowed:
        raise ImageTooLarge(
            f"takes {size:,} bytes of memory to decode, the limit is {allowed:,} ({MEMORY_PER_PIXEL} times max_pixels)"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a reader failed for want of memory; OpenCV and the codecs' own errors only say so in words."""
    told = str(error).lower()
    return isinstance(error, MemoryError) or any(words in told for words in _OUT_OF_MEMORY)


_OUT_OF_MEMORY = ("insufficient memory", "out of memory", "bad allocation", "bad_alloc", "cannot allocate", "no memory")
