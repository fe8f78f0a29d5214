"""Inverted lists of compact codes, scanned from a memory-mapped file.

A row is in the list of its nearest centroid, as a code of its residual: one bit a number and two factors, from which
the inner product with a query is estimated without bias (RaBitQ: Gao and Long, SIGMOD 2024), 32 rows at a time in the
processor's registers (FAISS's fast scan). 40 bytes a row of 256 numbers; scanning 60,000 rows takes .6 ms.

The file holds, for each list, its codes in FAISS's blocks of 32 rows, then the positions of its rows. The sizes of the
lists say where each begins. So opening reads nothing, and all processes share the pages of the lists that are probed.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.store.ivf.centroids import Centroids
from lookalike.store.ivf.recall import Effort, RecallTable
from lookalike.store.ivf.row_encoder import BLOCK_ROWS, EncodedRows, empty_index
from lookalike.store.selection import Selection
from lookalike.store.vector_storage import Positions, load_faiss
from lookalike.types import Vectors

_ALIGNMENT = 64
MAX_GATHERED = 4000  # rows that pass a filter in the probed lists: up to here comparing their vectors beats a scan
FAR_CANDIDATES = 10  # times as many for a query that is near no centroid: all its scores are nearly the same
GATHER_COST = 40  # a row's vector costs as much as so many codes


def write_lists(folder: Path, encoded: Iterable[EncodedRows], rows: int, centroids: Centroids) -> None:
    """Write the lists of so many rows, which come encoded and in order, at positions counted from 0."""
    packer = empty_index(centroids, centroids.flat, own_lists=True).get_CodePacker()
    list_of, codes = np.empty(rows, np.uint16), np.empty((rows, packer.code_size), np.uint8)
    start = 0
    for part in encoded:
        stop = start + len(part.lists)
        list_of[start:stop], codes[start:stop] = part
        start = stop
    if start != rows:
        raise OSError(f"{start:,} rows were encoded instead of {rows:,}")
    order = np.argsort(list_of, kind="stable")
    sizes = np.bincount(list_of, minlength=len(centroids)).astype(np.int64)
    with open(folder / "lists.bin", "wb") as file:
        for positions in np.split(order, np.cumsum(sizes)[:-1]):
            if size := len(positions):
                file.write(_packed(packer, codes[positions]).tobytes() + positions.astype(np.int64).tobytes())
                file.write(bytes(_gap(size, packer.code_size)))
    np.save(folder / "sizes.npy", sizes)
    np.save(folder / "list_of.npy", list_of)


def _packed(packer: Any, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes (n, code size) in FAISS's blocks of 32 rows."""
    pointer = load_faiss().swig_ptr
    padded = np.zeros((_padded(len(codes)), packer.code_size), np.uint8)
    padded[: len(codes)] = codes
    blocks = np.zeros((len(padded) // BLOCK_ROWS, packer.block_size), np.uint8)
    for own, block in zip(padded.reshape(len(blocks), BLOCK_ROWS, -1), blocks, strict=True):
        packer.pack_all(pointer(own), pointer(block))
    return blocks


class InvertedLists:
    """The lists of one segment, mapped from its folder. Raises OSError, ValueError where a file is missing or cut."""

    def __init__(self, folder: Path, centroids: Centroids, recalls: RecallTable) -> None:
        self.centroids, self.recalls = centroids, recalls
        self.sizes: NDArray[np.int64] = np.load(folder / "sizes.npy")
        self.list_of: NDArray[np.uint16] = np.load(folder / "list_of.npy", mmap_mode="r")
        self._index = empty_index(centroids, centroids.flat, own_lists=False)
        offsets = _offsets(self.sizes, self._index.code_size)
        path = folder / "lists.bin"
        if len(self.sizes) != len(centroids) or path.stat().st_size != offsets[-1]:
            raise ValueError(f"{path} does not have the size of its lists")
        self._lists = _mapped(path, self.sizes, offsets, self._index.code_size)
        self._index.replace_invlists(self._lists, False)  # noqa: FBT003
        self._index.ntotal = int(self.sizes.sum())

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def nbytes(self) -> int:
        """Private memory; the pages of the file are shared."""
        return self.sizes.nbytes

    def candidates(
        self, queries: Vectors, k: int, recall: float, selection: Selection | None
    ) -> list[Positions | None]:
        """Positions of likely neighbors of each query (n, dim), among the rows that pass.

        None where only comparing all rows reaches this recall.
        """
        candidates: list[Positions | None] = [None] * len(queries)
        groups: dict[Effort, list[int]] = {}
        share = 1.0 if selection is None else selection.count / len(self)
        for n, query in enumerate(queries):
            if (effort := self.recalls.effort(query, k, recall, share)) is not None:
                groups.setdefault(effort, []).append(n)
        for effort, group in groups.items():
            for n, positions in zip(group, self.scan(queries[group], k, effort, selection), strict=True):
                candidates[n] = positions
        return candidates

    def scan(self, queries: Vectors, k: int, effort: Effort, selection: Selection | None = None) -> list[Positions]:
        """Positions of the best candidates of each query (n, dim) by their codes, among the rows that pass.

        At least `k`, if so many pass.
        """
        rotated = self.centroids.rotate(queries)
        if selection is not None and 2 * selection.count < len(self):
            return [self._filtered(query, effort, selection) for query in rotated]
        probes = min(effort.probes, len(self.centroids))
        scores, numbers = self.centroids.flat.search(rotated, probes)
        candidates = self._scan(rotated, scores, numbers, effort.candidates, selection)
        needed = min(k, len(self) if selection is None else selection.count)
        for n, some in enumerate(candidates):
            if scores[n, 0] < effort.near or len(some) < needed:
                candidates[n] = self._far(rotated[n], effort, needed, selection)
        return candidates

    def _far(self, query: NDArray[np.float32], effort: Effort, needed: int, selection: Selection | None) -> Positions:
        """Probe more lists: for a query that is near no centroid, or whose nearest lists hold too few rows."""
        scores = self.centroids.vectors @ query
        probes = max(effort.probes, int((scores >= scores.max() - effort.margin).sum()))
        count = FAR_CANDIDATES * effort.candidates
        order = np.argsort(-scores)
        while True:
            chosen = order[None, :probes].astype(np.int64)
            (positions,) = self._scan(query[None], scores[chosen[0]][None], chosen, count, selection)
            if len(positions) >= needed or probes >= len(order):
                return positions
            probes = min(4 * probes, len(order))

    def scores(self, queries: Vectors) -> NDArray[np.float32]:
        """(n, lists): the scores of queries with the centroids."""
        return self.centroids.rotate(queries) @ self.centroids.vectors.T

    def _filtered(self, query: NDArray[np.float32], effort: Effort, selection: Selection) -> Positions:
        """Probe the nearest lists that hold any row that passes, and more if they hold too few."""
        starts, positions = selection.by_list(self.list_of, len(self.centroids))
        counts = np.diff(starts)
        occupied = np.flatnonzero(counts)
        if not len(occupied):
            return np.empty(0, np.int64)
        scores = self.centroids.vectors @ query
        order = occupied[np.argsort(-scores[occupied])]
        enough = np.searchsorted(np.cumsum(counts[order]), min(effort.candidates, selection.count)) + 1
        probes = max(effort.probes, int(enough))
        count = effort.candidates
        if (best := scores[order[0]]) < effort.near:  # the query may be like the collection and not like these rows
            probes = max(probes, int((scores[order] >= best - effort.margin).sum()))
            count *= FAR_CANDIDATES
        nearest = order[:probes]
        passing = int(counts[nearest].sum())
        if passing <= MAX_GATHERED or passing * GATHER_COST <= int(self.sizes[nearest].sum()):
            return np.concatenate([positions[starts[n] : starts[n + 1]] for n in nearest.tolist()])
        numbers = nearest[None].astype(np.int64)
        return self._scan(query[None], scores[nearest][None], numbers, count, selection)[0]

    def _scan(
        self,
        rotated: Vectors,
        scores: NDArray[np.float32],
        numbers: NDArray[np.int64],
        count: int,
        selection: Selection | None,
    ) -> list[Positions]:
        """Scan the codes of the lists `numbers` (n, probes), whose centroids have these scores."""
        queries, probes = numbers.shape
        distances = np.empty((queries, count), np.float32)
        positions = np.empty((queries, count), np.int64)
        filtered = {} if selection is None else {"sel": selection.selector}
        faiss = load_faiss()
        pointer = faiss.swig_ptr
        self._index.search_preassigned_c(
            queries, pointer(rotated), count, pointer(numbers), pointer(np.ascontiguousarray(scores, np.float32)),
            pointer(distances), pointer(positions), False,  # noqa: FBT003
            faiss.IVFSearchParameters(nprobe=probes, **filtered),
        )  # fmt: skip
        return [some[some >= 0] for some in positions]


def _mapped(path: Path, sizes: NDArray[np.int64], offsets: NDArray[np.int64], code_size: int) -> Any:
    faiss = load_faiss()
    lists = faiss.OnDiskInvertedLists()
    lists.nlist, lists.code_size, lists.filename = len(sizes), code_size, str(path)
    lists.totsize, lists.read_only = int(offsets[-1]), True
    lists.lists.clear()
    entry = faiss.OnDiskOneList()
    for size, offset in zip(sizes.tolist(), offsets.tolist(), strict=False):
        entry.size, entry.capacity, entry.offset = size, _padded(size), offset
        lists.lists.push_back(entry)
    lists.do_mmap()
    return lists


def _padded(size: int) -> int:
    return -(-size // BLOCK_ROWS) * BLOCK_ROWS


def _gap(size: int, code_size: int) -> int:
    return -(_padded(size) * code_size + 8 * size) % _ALIGNMENT


def _offsets(sizes: NDArray[np.int64], code_size: int) -> NDArray[np.int64]:
    """(lists + 1,) where each list begins, and the size of the file."""
    padded = -(-sizes // BLOCK_ROWS) * BLOCK_ROWS
    lengths = padded * code_size + 8 * sizes
    return np.concatenate([[0], np.cumsum(lengths + -lengths % _ALIGNMENT)])
