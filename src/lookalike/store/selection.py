"""The rows of a segment that pass a filter, with what a search needs of them, computed once."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.store.vector_storage import Mask, Positions, load_faiss


class Selection:
    """Rows of a segment that pass a filter. What the lists need of it is computed once."""

    def __init__(self, mask: Mask) -> None:
        self.mask = mask

    @cached_property
    def count(self) -> int:
        return int(self.mask.sum())

    @cached_property
    def _bits(self) -> NDArray[np.uint8]:
        return np.packbits(self.mask, bitorder="little")

    @cached_property
    def selector(self) -> Any:
        """FAISS's selector of these rows."""
        return load_faiss().IDSelectorBitmap(self._bits)

    @cached_property
    def positions(self) -> Positions:
        return np.flatnonzero(self.mask)

    def by_list(self, list_of: NDArray[np.uint16], lists: int) -> tuple[NDArray[np.int64], Positions]:
        """(lists + 1,) starts, and the passing positions ordered by list."""
        if self._by_list is None:
            numbers = list_of[self.positions]
            starts = np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=lists))])
            self._by_list = starts, self.positions[np.argsort(numbers, kind="stable")]
        return self._by_list

    _by_list: tuple[NDArray[np.int64], Positions] | None = None
