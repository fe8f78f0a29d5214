"""Out of memory: recognised on every device, and answered with a size that fits."""

from collections.abc import Callable

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out: each allocator has a way of its own."""
    text = str(error).lower()
    return (
        isinstance(error, MemoryError | torch.OutOfMemoryError)
        or "not enough memory" in text
        or "can't allocate memory" in text
    )


def explain(batch: int, fits: Callable[[int], bool]) -> str:
    """The sentence to end with. `fits` tries a batch of so many pictures."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    size = batch // 2
    while size >= 2 and not fits(size):
        size //= 2
    if size < 2:
        return f"there is not enough memory for a batch of {batch} pictures, nor for one of 2; choose a smaller --side"
    return f"there is not enough memory for a batch of {batch} pictures; {size} fit: --batch {size}"
