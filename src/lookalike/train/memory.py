"""Out-of-memory errors: detection on every device, and the batch size that fits."""

from collections.abc import Callable

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means out of memory; each allocator has its own type or text."""
    text = str(error).lower()
    return (
        isinstance(error, MemoryError | torch.OutOfMemoryError)
        or "not enough memory" in text
        or "can't allocate memory" in text
    )


def out_of_memory_message(batch: int, fits: Callable[[int], bool]) -> str:
    """The error message, with a batch size that fits. `fits` tries a batch of that many images."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    size = batch // 2
    while size >= 2 and not fits(size):
        size //= 2
    if size < 2:
        return f"there is not enough memory for a batch of {batch} images, or even of 2; choose a smaller --side"
    return f"there is not enough memory for a batch of {batch} images; use --batch {size}, which fits"
