"""`find_duplicates`: a collection's altered copies in groups, each with the picture to keep and the reason."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from lookalike.duplicates.files.companions import Companions
from lookalike.duplicates.keep.keep_choices import Chosen
from lookalike.duplicates.keep.original_check import OriginalCheck
from lookalike.duplicates.keep.rules import DEFAULT, Keep
from lookalike.duplicates.review.decisions import Decisions, pair_key
from lookalike.duplicates.search.candidates import Candidates, Level, find_candidates
from lookalike.duplicates.search.collection_arrays import Picture, is_link, read_rows
from lookalike.duplicates.search.contents import Contents
from lookalike.duplicates.search.groups import Group, make_groups
from lookalike.duplicates.search.processes import Workers
from lookalike.duplicates.search.proof import Proof, lies
from lookalike.duplicates.search.proof_store import ProofStore
from lookalike.duplicates.search.proofs import Proofs
from lookalike.duplicates.search.threads import one_thread_each
from lookalike.errors import BadQuery, ModelMismatch
from lookalike.image import is_raw_file, system_folder_of, to_path, to_text
from lookalike.relate import Calibration, calibration_of
from lookalike.search import Collection
from lookalike.types import DuplicateGroup, Extra, Hit

PROBABILITY = 0.9
_UNCALIBRATED = 0.85  # min_score where nothing is known of the model's scores; geometry decides anyway
_LEFT_ALONE = ("not-a-copy", "keep-both")
_LEAST_SAMPLE, _SAMPLE = 100, 2000  # pictures
_LEVEL_FROM, _LEVEL_TO = 5, 20  # the best few of a picture may be its copies
_FALSE = 20.0  # unrelated pictures a picture may be held against: 5 ms each
_AHEAD_EACH = 8  # groups that are begun, for each process
_REACH = 0.05  # P(copy | score) from which a pair is worth a look


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to look for duplicates.

    `min_score`: pairs below are not looked at; None: from where the calibration gives a copy a chance of 5 %.
    `probability`: that a copy must reach. `references`: folders whose files are never extras. `where`: a SQL condition.
    `verify`: judge by geometry, else by the score alone. `turned`: also look for turned copies. `progress`: is told
    how much of how much is done.
    """

    min_score: float | None = None
    probability: float = PROBABILITY
    references: Sequence[str] = ()
    where: str | None = None
    verify: bool = True
    turned: bool = True
    progress: Callable[[int, int], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """What was found. `absent`: pictures left out because their files are not there now. `pictures`: looked at.

    `cut`: pictures with more likely partners than are looked at. `decided`: pairs left alone by earlier decisions.
    """

    groups: tuple[DuplicateGroup, ...]
    pictures: int = 0
    min_score: float = 0.0
    absent: tuple[str, ...] = ()
    cut: int = 0
    decided: int = 0
    seconds: float = 0.0

    def __iter__(self) -> Iterator[DuplicateGroup]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def extras(self) -> list[str]:
        """The ids of all extras: what a clean data set is without."""
        return [extra.id for group in self.groups for extra in group.extras]


def find_duplicates(
    photos: Collection,
    *,
    keep: str | Sequence[str] = DEFAULT,
    against: Collection | None = None,
    options: Options | None = None,
) -> Duplicates:
    """Group a collection's altered copies; no file is touched.

    `keep`: rules for what is kept, the first that tells two pictures apart decides (docs/duplicates.md). `against`:
    masters; then only copies of *their* pictures are found, and theirs are kept (also the leak of a training set into
    a test set). Raises BadQuery for an unknown rule, ModelMismatch for masters by another model.
    """
    chosen = options or Options()
    if against is not None and against.card.sha256 != photos.card.sha256:
        raise ModelMismatch(
            f"{against.uri} was made by {against.card.name} and {photos.uri} by {photos.card.name}: their scores "
            f"cannot be compared; index it again with: lookalike index FOLDER -c {against.uri}-2 --model {photos.model}"
        )
    if not 0 < chosen.probability <= 1:
        raise BadQuery(f"probability is {chosen.probability}; give a number above 0 and up to 1, such as {PROBABILITY}")
    return _Search(photos, Keep(keep), chosen, against).run()


@dataclass(slots=True)
class _Files:
    """The files of one search that may be duplicates, in parallel lists."""

    pictures: list[Picture] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    contents: list[int] = field(default_factory=list)
    of_content: dict[int, list[int]] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)

    def add(self, content: int, row: int, picture: Picture) -> None:
        if not _there(picture):
            self.absent.append(picture.path)
            return
        self.of_content.setdefault(content, []).append(len(self.pictures))
        self.pictures.append(picture)
        self.rows.append(row)
        self.contents.append(content)


class _Search:
    def __init__(self, photos: Collection, keep: Keep, options: Options, against: Collection | None) -> None:
        self._photos, self._keep, self._options = photos, keep, options
        calibration = calibration_of(photos)
        self.min_score = default_min_score(calibration, len(photos)) if options.min_score is None else options.min_score
        masters = None if against is None else read_rows(against, master=True)
        self._contents = Contents.of(read_rows(photos, where=options.where), masters)
        look = options.verify
        self._calibration = calibration
        # Without a look nothing is worth keeping; masters' frames are not ours to remember.
        self._proved = ProofStore(photos, calibration, keep=look and writable(photos.uri))
        self._decided = Decisions(photos).by_pair()
        self._keep.measures.chosen.update(Chosen(photos).by_content())
        self._left_alone: set[str] = set()
        self._raw: dict[str, bool] = {}
        self._candidates = Candidates({})
        self._files = _Files()
        self._accepted: dict[tuple[int, int], Proof] = {}

    def run(self) -> Duplicates:
        begun = time.monotonic()
        with one_thread_each() as pool:
            self._candidates = find_candidates(
                self._contents,
                self.min_score,
                pool,
                turned=self._options.turned,
                local=self._options.turned and self._options.verify,
                level=None if self._options.min_score is not None else ordinary_level(self._contents),
                progress=self._options.progress,
            )
            self._add_decided()
            self._gather()
            found = sorted(self._groups(), key=lambda group: group.keep.id)
            self._proved.forget_the_rest()
        return Duplicates(
            groups=tuple(with_companions(found)),
            pictures=len(self._contents.rows),
            min_score=self.min_score,
            absent=tuple(sorted(self._files.absent)),
            cut=self._candidates.cut,
            decided=len(self._left_alone),
            seconds=time.monotonic() - begun,
        )

    def _groups(self) -> list[DuplicateGroup]:
        pairs = sum(map(len, self._candidates.partners.values())) // 2
        workers = Workers(self._calibration, geometry=self._options.verify, pairs=pairs)
        try:
            files = self._files
            self._proofs = Proofs(self._contents, files.pictures, files.rows, self._proved, workers)
            ahead = _AHEAD_EACH * workers.count
            groups = make_groups(files.pictures, self, self._keep, ahead=ahead, progress=self._options.progress)
            return self._told(groups)
        finally:
            workers.close()

    def _add_decided(self) -> None:
        """Pairs that a person called copies are looked at, however unlike their scores."""
        pairs = [key.split("|") for key, verdict in self._decided.items() if verdict == "copy"]
        numbers = self._contents.numbers([digest for pair in pairs for digest in pair])
        for first, second in pairs:
            if first in numbers and second in numbers:
                a, b = numbers[first], numbers[second]
                self._candidates.partners.setdefault(a, []).append(b)
                self._candidates.partners.setdefault(b, []).append(a)

    def _gather(self) -> None:
        """The facts of every file that has a partner."""
        shared = self._contents.shared()
        involved = np.union1d(shared, np.fromiter(self._candidates.partners, np.int64))
        found = self._contents.files(involved, self._options.references)
        theirs = {picture.path for _, _, picture in found if picture.master and picture.path}
        for content, row, picture in sorted(found, key=lambda file: file[1]):
            # Masters may lie inside the collection's own folders: a file is no copy of itself.
            if picture.master or picture.path not in theirs:
                self._files.add(content, row, picture)

    def partners(self, place: int) -> list[int]:
        """Files of the same content and of candidates; where there are masters, only they have partners."""
        picture, files = self._files.pictures[place], self._files
        if len(self._contents.sides) > 1 and not picture.master:
            return []
        content = files.contents[place]
        near = [content, *self._candidates.partners.get(content, ())]
        return [other for known in near for other in files.of_content.get(known, ()) if other != place]

    def copies(self, place: int, others: Sequence[int]) -> list[int]:
        """Those of the others that are copies of the file at a place, by proof or because a person said so."""
        kept, pictures, found = self._files.pictures[place], self._files.pictures, []
        verdicts = {other: self._decision(kept, pictures[other]) for other in others}
        proofs = self._proofs.of(place, self._judged(place, others))
        for other, verdict in verdicts.items():
            proof = proofs.get(other)
            if proof is not None and proof.probability < self._options.probability:
                proof = None
            if proof is None and verdict == "copy":
                proof = Proof(0.0, "copy", 1.0, "as you decided")
            if proof is not None:
                self._accepted[place, other] = proof
                found.append(other)
        return found

    def prepare(self, places: Sequence[int]) -> None:
        """Read what is needed of the pictures that come next, and of their partners."""
        self._proofs.load(dict.fromkeys(other for place in places for other in (place, *self.partners(place))))

    def begin(self, place: int, others: Sequence[int]) -> None:
        """Let processes find what will be asked soon."""
        self._proofs.begin(place, self._judged(place, others))

    def infer(self, place: int, by: int, others: Iterable[int]) -> None:
        """Copies of a picture that shows the same as another are copies of the other."""
        self._proofs.infer(place, by, self._judged(place, list(others)))

    def glance(self, place: int, copies: Sequence[int], keep: Keep) -> None:
        """Whether a border was put around it, and whether something lies on it."""
        OriginalCheck(keep, self._files.pictures, self._accepted).glance(place, copies)

    def look(self, place: int, copies: Sequence[int], keep: Keep) -> None:
        """Whether it is enlarged, bordered, marked, or in another position than most."""
        OriginalCheck(keep, self._files.pictures, self._accepted).look(place, copies)

    def _judged(self, place: int, others: Sequence[int]) -> list[int]:
        """Those of the others that are held against a file: nobody said that they are none, and neither is raw."""
        kept, pictures = self._files.pictures[place], self._files.pictures
        return [
            other
            for other in others
            if self._decision(kept, pictures[other]) not in _LEFT_ALONE
            and not self._raw_against_other(kept, pictures[other])
        ]

    def _decision(self, kept: Picture, other: Picture) -> str | None:
        """What a person said of two pictures; notes which pairs are left alone for it."""
        if not (kept.sha256 and other.sha256):
            return None
        key = pair_key(kept.sha256, other.sha256)
        verdict = self._decided.get(key)
        if verdict in _LEFT_ALONE:
            self._left_alone.add(key)
        return verdict

    def _raw_against_other(self, a: Picture, b: Picture) -> bool:
        """Whether one is a raw file, whose preview older versions took for it, and the other has other bytes."""
        if a.sha256 and a.sha256 == b.sha256:
            return False
        return self._is_raw(a.path) or self._is_raw(b.path)

    def _is_raw(self, path: str) -> bool:
        if path not in self._raw:
            self._raw[path] = is_raw_file(path)
        return self._raw[path]

    def _told(self, groups: Sequence[Group]) -> list[DuplicateGroup]:
        """The groups with what is to be told of each file."""
        plain = [group for group in groups if self._not_in_words(group)]
        wanted = [(g.keep, [(at, self._accepted[g.keep, at]) for at in self._not_in_words(g)]) for g in plain]
        for (keep, others), told in zip(wanted, self._proofs.in_words(wanted), strict=True):
            for (at, _), proof in zip(others, told, strict=True):
                self._accepted[keep, at] = proof
                self._proofs.keep_words(keep, at, proof)
        return [self._group(group) for group in groups]

    def _not_in_words(self, group: Group) -> list[int]:
        proofs = {at: self._accepted[group.keep, at] for at in group.extras}
        return [at for at, proof in proofs.items() if proof.verdict is not None and not proof.words]

    def _group(self, group: Group) -> DuplicateGroup:
        kept = self._files.pictures[group.keep]
        return DuplicateGroup(Hit(kept.id, 1.0, facts(kept)), tuple(self._extra(group.keep, at) for at in group.extras))

    def _extra(self, keep: int, at: int) -> Extra:
        kept, extra, proof = self._files.pictures[keep], self._files.pictures[at], self._accepted[keep, at]
        return Extra(
            id=extra.id,
            score=proof.score,
            relation=proof.relation,
            probability=proof.probability,
            words=proof.words,
            reason=self._keep.reason(kept, extra),
            unsure=self._keep.is_unsure(kept, extra, proof.altered),
            left=why_left(extra, proof),
            transform=lies(proof),
            metadata=facts(extra),
        )


def default_min_score(calibration: Calibration, size: int) -> float:
    """Where looking at pairs begins: a copy has a chance, and few unrelated pictures of so many score as high."""
    if calibration.by_score is None:
        return _UNCALIBRATED
    crowded = -1.0 if calibration.tail is None else calibration.tail.score_at(min(_FALSE / max(size, 1), 1.0))
    return min(max(calibration.min_score(_REACH), crowded, 0.6), 0.95)


def ordinary_level(contents: Contents) -> Level | None:
    """What an ordinary high score is for a vector: the mean of its 6th to 20th best among a sample; None for a few."""
    rows = contents.own[contents.own >= 0]
    if len(rows) < _LEAST_SAMPLE:
        return None
    chosen = np.random.default_rng(0).permutation(rows)[:_SAMPLE]
    sample = np.stack([contents.vector(int(row)) for row in chosen])

    def level(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        scores = np.partition(vectors @ sample.T, -_LEVEL_TO, axis=1)[:, -_LEVEL_TO:]
        return np.asarray(np.sort(scores, axis=1)[:, : _LEVEL_TO - _LEVEL_FROM].mean(axis=1), np.float32)

    return level


def writable(uri: str) -> bool:
    """Whether what was found may be kept beside the pictures."""
    return uri == "memory:" or "://" in uri or os.access(uri, os.W_OK)


def facts(picture: Picture) -> dict[str, str | int | bool]:
    """What a group tells of a picture, under stable names."""
    names = ("path", "width", "height", "size", "format", "mtime_ns", "sha256", "root", "frames", "reference", "master")
    return {name: getattr(picture, name) for name in names}


def why_left(extra: Picture, proof: Proof) -> str:
    """Why the file of an extra may not be touched, as far as it can be told without looking at it; else ""."""
    if not extra.path:
        return "was added from memory: there is no file"
    if not os.path.lexists(to_path(extra.path)):
        return "is inside an archive"
    if (folder := system_folder_of(extra.path)) is not None and folder.kind == "library":
        return f"lies in {folder.path}, a photo library: remove it with the program that keeps the library"
    if extra.frames > 1 and proof.relation != "identical":
        return "is an animation, of which not every frame was compared"
    return ""


def with_companions(groups: Sequence[DuplicateGroup]) -> Iterator[DuplicateGroup]:
    """The groups, each extra with the companions it takes along if all extras go that may."""
    paths = [_path(extra) for group in groups for extra in group.extras if not extra.left]
    going = {to_path(path): turn for turn, path in enumerate(paths) if path and not is_link(path)}
    companions = Companions()

    def along(extra: Extra) -> tuple[str, ...]:
        path = to_path(_path(extra))
        try:
            return tuple(to_text(one.path) for one in companions.of(path, going)) if path in going else ()
        except OSError:  # told when it is to be taken away: then it stays
            return ()

    for group in groups:
        yield replace(group, extras=tuple(replace(extra, companions=along(extra)) for extra in group.extras))


def _path(extra: Extra) -> str:
    return str(extra.metadata.get("path") or "")


def _there(picture: Picture) -> bool:
    """Whether a picture's file (or its archive) is there at the moment; one from memory needs none."""
    if not picture.path:
        return True
    return os.path.lexists(to_path(picture.path)) or os.path.isfile(to_path(picture.path.split("!/")[0]))
