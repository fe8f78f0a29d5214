"""The proofs of one search: those of earlier runs, those under way in other processes, those still to be found."""

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence

from lookalike.duplicates.search.collection_arrays import Picture
from lookalike.duplicates.search.contents import Contents
from lookalike.duplicates.search.processes import Question, Workers
from lookalike.duplicates.search.proof import SAME_BYTES, Proof, chained, swapped
from lookalike.duplicates.search.proof_store import ProofStore
from lookalike.duplicates.search.verification import PictureData

_CACHED = 4096  # pictures' data in memory: 12 kB each
_TOGETHER = 32  # pairs that a process is asked for at a time: pages are known by their neighbours
_WAITING_EACH = 8  # groups that are put into words ahead, for each process
_FRAMES_AGREE = 0.95
_COLUMNS = ["frame", "thumbnail"]

Pair = tuple[int, int]


class Proofs:
    """Proofs of pairs of files, named by their places in `pictures`, each with its row among the contents."""

    def __init__(
        self, contents: Contents, pictures: Sequence[Picture], rows: Sequence[int], store: ProofStore, workers: Workers
    ) -> None:
        self._contents, self._pictures, self._rows = contents, pictures, rows
        self._store, self._workers = store, workers
        self._nameless: dict[Pair, Proof | None] = {}  # pairs of which a file has no hash
        self._asked: dict[Pair, tuple[Question, int]] = {}
        self._data: OrderedDict[int, PictureData] = OrderedDict()

    def of(self, place: int, others: Sequence[int]) -> dict[int, Proof | None]:
        """The proof that each of the others is a copy of the picture at `place`, or None where it is not."""
        self.begin(place, others)
        return {other: self._result(place, other) for other in others}

    def begin(self, place: int, others: Sequence[int]) -> None:
        """Ask for proofs that will be wanted."""
        new = [other for other in others if not self._is_known(place, other)]
        if not new:
            return
        self.load((place, *new))
        for at in range(0, len(new), _TOGETHER):
            some = new[at : at + _TOGETHER]
            question = self._workers.verify(self._data[place], [self._data[other] for other in some])
            for n, other in enumerate(some):
                self._asked[place, other] = question, n

    def infer(self, place: int, by: int, others: Iterable[int]) -> None:
        """Proofs for the picture at `place` from those for another, `by`, as far as the two show the same.

        Of others that were proven copies of `by`.
        """
        between = self._result(place, by)
        if between is None:
            return
        for other in others:
            if other in {place, by} or self._is_known(place, other) or (seen := self._result(by, other)) is None:
                continue
            score = float(self._contents.vector(self._rows[place]) @ self._contents.vector(self._rows[other]))
            proof = chained(between, seen, (self._pictures[place], self._pictures[other]), score)
            if proof is not None:
                self._put(place, other, proof)

    def in_words(self, found: Iterable[tuple[int, Sequence[tuple[int, Proof]]]]) -> list[list[Proof]]:
        """The proofs with what was done to the pictures at some places to get others."""
        waiting: deque[Question] = deque()
        answers: list[list[Proof]] = []
        for place, others in found:
            self.load((place, *(other for other, _ in others)))
            told = [(self._data[other], proof) for other, proof in others]
            waiting.append(self._workers.describe(self._data[place], told))
            if len(waiting) > _WAITING_EACH * self._workers.count:  # each holds the thumbnails of a group
                answers.append(self._workers.answer(waiting.popleft()))
        return answers + [self._workers.answer(question) for question in waiting]

    def keep_words(self, place: int, other: int, proof: Proof) -> None:
        """Keep a proof that was put into words."""
        if (name := self._name(place, other)) is not None:
            self._store.put(name, proof)

    def _is_known(self, place: int, other: int) -> bool:
        if (place, other) in self._asked or (other, place) in self._asked:
            return True
        kept, seen = self._pictures[place], self._pictures[other]
        if (kept.sha256 and kept.sha256 == seen.sha256) or not self._frames_agree(place, other):
            return True
        there, back = self._name(place, other), self._name(other, place)
        if there is None or back is None:
            return (place, other) in self._nameless or (other, place) in self._nameless
        return there in self._store or back in self._store

    def _result(self, place: int, other: int) -> Proof | None:
        for pair in ((place, other), (other, place)):
            if pair in self._asked:
                question, n = self._asked.pop(pair)
                self._put(*pair, self._workers.answer(question)[n])
        return self._get(place, other)

    def _put(self, place: int, other: int, proof: Proof | None) -> None:
        if (name := self._name(place, other)) is None:
            self._nameless[place, other] = proof
        else:
            self._store.put(name, proof)

    def _get(self, place: int, other: int) -> Proof | None:
        kept, seen = self._pictures[place], self._pictures[other]
        if kept.sha256 and kept.sha256 == seen.sha256:
            return SAME_BYTES
        there, back = self._name(place, other), self._name(other, place)
        if there is None or back is None:
            if (place, other) in self._nameless:
                return self._nameless[place, other]
            return swapped(self._nameless.get((other, place)), seen, kept)
        if there in self._store:
            return self._store.get(there)
        return swapped(self._store.get(back), seen, kept) if back in self._store else None

    def _name(self, place: int, other: int) -> str | None:
        """What a pair is kept under."""
        kept, seen = self._pictures[place].sha256, self._pictures[other].sha256
        return f"{kept}|{seen}" if kept and seen else None

    def _frames_agree(self, place: int, other: int) -> bool:
        """An animation is a copy of another only frame by frame, and never of a single picture."""
        if self._pictures[place].frames != self._pictures[other].frames:
            return False
        frames = (self._contents.all_frames(self._rows[at])[1:] for at in (place, other))
        return all(float(a @ b) >= _FRAMES_AGREE for a, b in zip(*frames, strict=False))

    def load(self, places: Iterable[int]) -> None:
        """Read what processes need to know of these pictures: in one read of the collection, unless it is at hand."""
        wanted = list(dict.fromkeys(places))
        absent = [place for place in wanted if place not in self._data]
        for n, side in enumerate(self._contents.sides):
            mine = [place for place in absent if self._pictures[place].master == bool(n)]
            columns = [name for name in _COLUMNS if name in side.photos.store.columns()] if mine else []
            stored = side.photos.get([self._pictures[place].id for place in mine], columns) if mine else []
            for place, row in zip(mine, stored, strict=True):
                frame, jpeg = (None if row is None else row.metadata.get(name) for name in _COLUMNS)
                self._data[place] = PictureData(
                    key=place,
                    picture=self._pictures[place],
                    vector=self._contents.vector(self._rows[place]),
                    frame=frame if isinstance(frame, int) else 0,
                    thumbnail=jpeg if isinstance(jpeg, bytes) else None,
                    limits=side.photos.limits,
                )
        for place in wanted:
            self._data.move_to_end(place)
        while len(self._data) > max(_CACHED, len(wanted)):
            self._data.popitem(last=False)
