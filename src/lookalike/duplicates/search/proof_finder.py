"""Proofs of one search: from earlier searches (the store), from verification in other processes, or inferred."""

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from lookalike.duplicates.search.collection_arrays import FileFacts
from lookalike.duplicates.search.contents import Contents
from lookalike.duplicates.search.processes import VerificationTask, Workers
from lookalike.duplicates.search.proof import SAME_BYTES, Proof, chained, swapped
from lookalike.duplicates.search.proof_store import ProofStore
from lookalike.duplicates.search.verification import VerificationInput

_MAX_INPUTS = 4096  # verification inputs in memory: 12 kB each
_MAX_PAIRS_PER_TASK = 32  # several, since template pages are distinguished by comparison with each other
_MAX_PENDING_GROUPS = 8  # groups waiting for their descriptions, for each process: each holds its thumbnails
_MIN_FRAME_SCORE = 0.95
_COLUMNS = ["frame", "thumbnail"]

Pair: TypeAlias = tuple[int, int]


class ProofFinder:
    """Finds proofs of pairs of files, which are named by their indices in `files`. `rows`: their rows in `contents`."""

    def __init__(
        self, contents: Contents, files: Sequence[FileFacts], rows: Sequence[int], store: ProofStore, workers: Workers
    ) -> None:
        self._contents, self._files, self._rows = contents, files, rows
        self._store, self._workers = store, workers
        self._unstored: dict[Pair, Proof | None] = {}  # of pairs in which a file has no hash
        self._pending: dict[Pair, tuple[VerificationTask, int]] = {}
        self._inputs: OrderedDict[int, VerificationInput] = OrderedDict()

    def find(self, index: int, others: Sequence[int]) -> dict[int, Proof | None]:
        """Return for each of `others` the proof that it is a copy of the file at `index`, or None if it is not."""
        self.submit(index, others)
        return {other: self._result(index, other) for other in others}

    def submit(self, index: int, others: Sequence[int]) -> None:
        """Start the verification of all pairs whose proof is not known yet."""
        new = [other for other in others if not self._is_known(index, other)]
        if not new:
            return
        self.load((index, *new))
        for start in range(0, len(new), _MAX_PAIRS_PER_TASK):
            batch = new[start : start + _MAX_PAIRS_PER_TASK]
            task = self._workers.verify(self._inputs[index], [self._inputs[other] for other in batch])
            for n, other in enumerate(batch):
                self._pending[index, other] = task, n

    def infer(self, index: int, previous: int, others: Iterable[int]) -> None:
        """Derive proofs for the file at `index` from those for `previous`, as far as the two show the same.

        `others`: proven copies of `previous`.
        """
        between = self._result(index, previous)
        if between is None:
            return
        for other in others:
            if other in {index, previous} or self._is_known(index, other):
                continue
            if (onward := self._result(previous, other)) is None:
                continue
            score = float(self._contents.vector(self._rows[index]) @ self._contents.vector(self._rows[other]))
            proof = chained(between, onward, (self._files[index], self._files[other]), score)
            if proof is not None:
                self._put(index, other, proof)

    def describe(self, pairs: Iterable[tuple[int, Sequence[tuple[int, Proof]]]]) -> list[list[Proof]]:
        """Return the proofs with `words`, for each (kept file, its extras with their proofs)."""
        pending: deque[VerificationTask] = deque()
        results: list[list[Proof]] = []
        for index, others in pairs:
            self.load((index, *(other for other, _ in others)))
            inputs = [(self._inputs[other], proof) for other, proof in others]
            pending.append(self._workers.describe(self._inputs[index], inputs))
            if len(pending) > _MAX_PENDING_GROUPS * self._workers.count:
                results.append(self._workers.result(pending.popleft()))
        return results + [self._workers.result(task) for task in pending]

    def save_description(self, index: int, other: int, proof: Proof) -> None:
        """Store a proof that `describe` returned."""
        if (key := self._key(index, other)) is not None:
            self._store.put(key, proof)

    def _is_known(self, index: int, other: int) -> bool:
        if (index, other) in self._pending or (other, index) in self._pending:
            return True
        first, second = self._files[index], self._files[other]
        if (first.sha256 and first.sha256 == second.sha256) or not self._frames_agree(index, other):
            return True
        forward, backward = self._key(index, other), self._key(other, index)
        if forward is None or backward is None:
            return (index, other) in self._unstored or (other, index) in self._unstored
        return forward in self._store or backward in self._store

    def _result(self, index: int, other: int) -> Proof | None:
        for pair in ((index, other), (other, index)):
            if pair in self._pending:
                task, n = self._pending.pop(pair)
                self._put(*pair, self._workers.result(task)[n])
        return self._get(index, other)

    def _put(self, index: int, other: int, proof: Proof | None) -> None:
        if (key := self._key(index, other)) is None:
            self._unstored[index, other] = proof
        else:
            self._store.put(key, proof)

    def _get(self, index: int, other: int) -> Proof | None:
        first, second = self._files[index], self._files[other]
        if first.sha256 and first.sha256 == second.sha256:
            return SAME_BYTES
        forward, backward = self._key(index, other), self._key(other, index)
        if forward is None or backward is None:
            if (index, other) in self._unstored:
                return self._unstored[index, other]
            return swapped(self._unstored.get((other, index)), second, first)
        if forward in self._store:
            return self._store.get(forward)
        return swapped(self._store.get(backward), second, first) if backward in self._store else None

    def _key(self, index: int, other: int) -> str | None:
        """Return the key of a pair in the store; None where a file has no hash."""
        first, second = self._files[index].sha256, self._files[other].sha256
        return f"{first}|{second}" if first and second else None

    def _frames_agree(self, index: int, other: int) -> bool:
        """Return whether all frames but the first agree: an animation is never a copy of a still image."""
        if self._files[index].frames != self._files[other].frames:
            return False
        frames = (self._contents.all_frames(self._rows[i])[1:] for i in (index, other))
        return all(float(a @ b) >= _MIN_FRAME_SCORE for a, b in zip(*frames, strict=False))

    def load(self, indices: Iterable[int]) -> None:
        """Read the verification inputs of these files that are not in memory, in one read of each collection."""
        requested = list(dict.fromkeys(indices))
        missing = [index for index in requested if index not in self._inputs]
        for n, side in enumerate(self._contents.sides):
            own = [index for index in missing if self._files[index].in_reference_collection == bool(n)]
            columns = [name for name in _COLUMNS if name in side.photos.store.columns()] if own else []
            stored = side.photos.get([self._files[index].id for index in own], columns) if own else []
            for index, row in zip(own, stored, strict=True):
                frame, jpeg = (None if row is None else row.metadata.get(name) for name in _COLUMNS)
                self._inputs[index] = VerificationInput(
                    key=index,
                    file=self._files[index],
                    vector=self._contents.vector(self._rows[index]),
                    frame=frame if isinstance(frame, int) else 0,
                    thumbnail=jpeg if isinstance(jpeg, bytes) else None,
                    limits=side.photos.limits,
                )
        for index in requested:
            self._inputs.move_to_end(index)
        while len(self._inputs) > max(_MAX_INPUTS, len(requested)):
            self._inputs.popitem(last=False)
