"""`find_duplicates`: a collection's altered copies in groups, each with the image to keep and the reason."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from lookalike.deprecation import renamed_property
from lookalike.duplicates.files.companions import Companions
from lookalike.duplicates.keep.keep_choices import KeepChoices
from lookalike.duplicates.keep.original_check import OriginalCheck
from lookalike.duplicates.keep.rules import DEFAULT, Keep
from lookalike.duplicates.review.decisions import Decisions, pair_key
from lookalike.duplicates.search.candidates import MAX_LOCAL, CandidatePairs, ScoreBaseline, find_candidates
from lookalike.duplicates.search.collection_arrays import FileFacts, is_link, read_arrays
from lookalike.duplicates.search.contents import Contents
from lookalike.duplicates.search.groups import Group, make_groups
from lookalike.duplicates.search.processes import Workers
from lookalike.duplicates.search.proof import DECIDED_BY_USER, Proof, transform_of
from lookalike.duplicates.search.proof_finder import ProofFinder
from lookalike.duplicates.search.proof_store import ProofStore
from lookalike.errors import BadQuery, ModelMismatch
from lookalike.image import (
    is_raw_file,
    single_threaded_blas,
    single_threaded_opencv,
    system_folder_of,
    to_path,
    to_text,
)
from lookalike.image.sources.files import is_present, is_remote
from lookalike.relate import Calibration, calibration_of
from lookalike.search import Collection
from lookalike.tasks import LocalTasks, TaskPool
from lookalike.types import DuplicateGroup, Extra, Hit

PROBABILITY = 0.9
_UNCALIBRATED_MIN_SCORE = 0.85  # where the model has no calibration; geometry decides anyway
_SEPARATE_VERDICTS = ("not-a-copy", "keep-both")
_MIN_SAMPLE, _SAMPLE = 100, 2000  # images
_BASELINE_FROM, _BASELINE_TO = 5, 20  # ranks; the best few of an image may be its copies
_MAX_FALSE_PAIRS = 20.0  # unrelated images verified against each image: 5 ms each
# Groups built at the same time: as many for 1 to 16 processes, since which of two images is verified against the other
# depends on it, and with that the last digit of a result.
_MIN_GROUPS_AHEAD, _GROUPS_PER_PROCESS = 64, 4
_MIN_CHANCE = 0.05  # P(copy | score) from which a pair is verified


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of `find_duplicates`.

    `min_score`: pairs below are not candidates; None: where the calibration gives a copy a chance of 5%.
    `probability`: what a copy must reach. `references`: folders whose files are never extras. `where`: a SQL condition.
    `verify`: verify by geometry, else by the score alone. `turned`: also find mirrored and rotated copies.
    `progress`: called with (done, total). `tasks`: what does the work, such as a `RayTasks`; None: this machine.
    """

    min_score: float | None = None
    probability: float = PROBABILITY
    references: Sequence[str] = ()
    where: str | None = None
    verify: bool = True
    turned: bool = True
    progress: Callable[[int, int], None] | None = None
    tasks: TaskPool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """The groups found. `pictures`: number of images searched. `absent`: paths left out because the file is missing.

    `truncated`: number of images with more candidates than are verified. `decided`: pairs left out because of a user's
    decision. `without_details`: whether local features were left out, since there are too many images.
    """

    groups: tuple[DuplicateGroup, ...]
    pictures: int = 0
    min_score: float = 0.0
    absent: tuple[str, ...] = ()
    truncated: int = 0
    decided: int = 0
    without_details: bool = False
    seconds: float = 0.0

    cut = renamed_property("cut", "truncated")

    def __iter__(self) -> Iterator[DuplicateGroup]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def extras(self) -> list[str]:
        """Return the ids of all extras, to be removed from a clean data set."""
        return [extra.id for group in self.groups for extra in group.extras]


def find_duplicates(
    photos: Collection,
    *,
    keep: str | Sequence[str] = DEFAULT,
    against: Collection | None = None,
    options: Options | None = None,
) -> Duplicates:
    """Group a collection's altered copies; no file is touched.

    `keep`: rules for what is kept; the first that differs between two images decides (docs/duplicates.md). `against`:
    a reference collection; then only copies of *its* images are found, and its images are kept (also finds the leak of
    a training set into a test set). Raises BadQuery for an unknown rule, ModelMismatch if `against` has another model.
    """
    for collection in (photos, against):
        if collection is not None and not isinstance(collection, Collection):
            raise BadQuery(
                f"find_duplicates takes an open collection, not {type(collection).__name__}",
                hint="open it with lookalike.open(...)",
            )
    chosen = options or Options()
    if against is not None and against.card.sha256 != photos.card.sha256:
        raise ModelMismatch(
            f"it was created by {against.card.name} and the searched collection by {photos.card.name}, so their scores "
            "cannot be compared",
            subject=against.uri,
            location=against.uri,
            hint=f"create it again with the model {photos.model}",
            command=f"index FOLDER -c {against.uri}-2 --model {photos.model}",
        )
    if not 0 < chosen.probability <= 1:
        raise BadQuery(f"probability is {chosen.probability}; give a number above 0 and up to 1, such as {PROBABILITY}")
    return _Search(photos, Keep(keep), chosen, against).run()


@dataclass(slots=True)
class _Files:
    """The files with candidates, in parallel lists. `of_content`: indices of the files of each content."""

    facts: list[FileFacts] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    contents: list[int] = field(default_factory=list)
    of_content: dict[int, list[int]] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)

    def add(self, content: int, row: int, file: FileFacts) -> None:
        if not _is_present(file):
            self.absent.append(file.path)
            return
        self.of_content.setdefault(content, []).append(len(self.facts))
        self.facts.append(file)
        self.rows.append(row)
        self.contents.append(content)


class _Search:
    """One search. Implements `CopyFinder`; files are named by their indices in `_files.facts`."""

    def __init__(self, photos: Collection, keep: Keep, options: Options, against: Collection | None) -> None:
        self._photos, self._keep, self._options = photos, keep, options
        calibration = calibration_of(photos)
        self.min_score = default_min_score(calibration, len(photos)) if options.min_score is None else options.min_score
        reference = None if against is None else read_arrays(against, is_reference=True)
        self._contents = Contents.of(read_arrays(photos, where=options.where), reference)
        self._calibration = calibration
        self._local = options.turned and options.verify
        # Scores alone are not worth storing.
        self._store = ProofStore(photos, calibration, keep=options.verify and is_writable(photos.uri))
        self._decisions = Decisions(photos).by_pair()
        self._keep.measures.chosen.update(KeepChoices(photos).by_content())
        self._separate: set[str] = set()
        self._raw: dict[str, bool] = {}
        self._candidates = CandidatePairs({})
        self._files = _Files()
        self._accepted: dict[tuple[int, int], Proof] = {}

    def run(self) -> Duplicates:
        started_at = time.monotonic()
        tasks = self._options.tasks or LocalTasks()
        with single_threaded():
            self._candidates = find_candidates(
                self._contents,
                self.min_score,
                tasks,
                turned=self._options.turned,
                local=self._local,
                baseline=None if self._options.min_score is not None else score_baseline(self._contents),
                progress=self._options.progress,
            )
            self._add_decided_copies()
            self._collect_files()
            groups = sorted(self._groups(tasks), key=lambda group: group.keep.id)
            self._store.remove_unused()
        return Duplicates(
            groups=tuple(with_companions(groups)),
            pictures=len(self._contents.rows),
            min_score=self.min_score,
            absent=tuple(sorted(self._files.absent)),
            truncated=self._candidates.truncated,
            decided=len(self._separate),
            without_details=self._local and len(self._contents.own_rows) > MAX_LOCAL,
            seconds=time.monotonic() - started_at,
        )

    def _groups(self, tasks: TaskPool) -> list[DuplicateGroup]:
        pairs = sum(map(len, self._candidates.partners.values())) // 2
        workers = Workers(self._calibration, geometry=self._options.verify, pairs=pairs, tasks=tasks)
        try:
            files = self._files
            self._proofs = ProofFinder(self._contents, files.facts, files.rows, self._store, workers)
            ahead = max(_MIN_GROUPS_AHEAD, _GROUPS_PER_PROCESS * workers.count)
            groups = make_groups(files.facts, self, self._keep, ahead=ahead, progress=self._options.progress)
            return self._to_results(groups)
        finally:
            workers.close()

    def _add_decided_copies(self) -> None:
        """Add the pairs that a user decided are copies, whatever their scores."""
        pairs = [key.split("|") for key, verdict in self._decisions.items() if verdict == "copy"]
        contents = self._contents.by_digest([digest for pair in pairs for digest in pair])
        for first, second in pairs:
            if first in contents and second in contents:
                a, b = contents[first], contents[second]
                self._candidates.partners.setdefault(a, []).append(b)
                self._candidates.partners.setdefault(b, []).append(a)

    def _collect_files(self) -> None:
        """Read the facts of every file that has a candidate or shares its content with another."""
        shared = self._contents.shared()
        involved = np.union1d(shared, np.fromiter(self._candidates.partners, np.int64))
        files = self._contents.files(involved, self._options.references)
        reference_paths = {file.path for _, _, file in files if file.in_reference_collection and file.path}
        for content, row, file in sorted(files, key=lambda entry: (entry[0], entry[2].name, entry[2].id)):
            # The reference collection may lie inside the collection's own folders: a file is no copy of itself.
            if file.in_reference_collection or file.path not in reference_paths:
                self._files.add(content, row, file)

    def partners(self, index: int) -> list[int]:
        """Return files of the same content and of candidate contents.

        With a reference collection only its files have partners.
        """
        file, files = self._files.facts[index], self._files
        if len(self._contents.sides) > 1 and not file.in_reference_collection:
            return []
        content = files.contents[index]
        related = [content, *self._candidates.partners.get(content, ())]
        return [other for known in related for other in files.of_content.get(known, ()) if other != index]

    def copies(self, index: int, others: Sequence[int]) -> list[int]:
        """Return those of `others` that are copies of a file, by proof or by a user's decision."""
        keep, files, copies = self._files.facts[index], self._files.facts, []
        verdicts = {other: self._decision(keep, files[other]) for other in others}
        proofs = self._proofs.find(index, self._verifiable(index, others))
        for other, verdict in verdicts.items():
            proof = proofs.get(other)
            if proof is not None and proof.probability < self._options.probability:
                proof = None
            if proof is None and verdict == "copy":
                proof = DECIDED_BY_USER
            if proof is not None:
                self._accepted[index, other] = proof
                copies.append(other)
        return copies

    def prefetch(self, indices: Sequence[int]) -> None:
        """Read what the verification of these files and their partners needs."""
        self._proofs.load(dict.fromkeys(other for index in indices for other in (index, *self.partners(index))))

    def submit(self, index: int, others: Sequence[int]) -> None:
        """Start the verification of pairs in other processes."""
        self._proofs.submit(index, self._verifiable(index, others))

    def infer(self, index: int, previous: int, others: Iterable[int]) -> None:
        """Derive proofs for a file that shows the same as `previous`, whose copies the others are."""
        self._proofs.infer(index, previous, self._verifiable(index, list(others)))

    def check_early(self, index: int, copies: Sequence[int], keep: Keep) -> None:
        """Record whether a file has a border or an overlay, as far as its first copies show."""
        OriginalCheck(keep, self._files.facts, self._accepted).check_early(index, copies)

    def check_fully(self, index: int, copies: Sequence[int], keep: Keep) -> None:
        """Record whether a file is upscaled, bordered, overlaid, or in another orientation than most of its copies."""
        OriginalCheck(keep, self._files.facts, self._accepted).check_fully(index, copies)

    def _verifiable(self, index: int, others: Sequence[int]) -> list[int]:
        """Return those of `others` that are verified: not separated by a decision, and not raw against another file."""
        keep, files = self._files.facts[index], self._files.facts
        return [
            other
            for other in others
            if self._decision(keep, files[other]) not in _SEPARATE_VERDICTS
            and not self._raw_against_other(keep, files[other])
        ]

    def _decision(self, keep: FileFacts, other: FileFacts) -> str | None:
        """Return a user's verdict on two files, and count the pairs that it separates."""
        if not (keep.sha256 and other.sha256):
            return None
        key = pair_key(keep.sha256, other.sha256)
        verdict = self._decisions.get(key)
        if verdict in _SEPARATE_VERDICTS:
            self._separate.add(key)
        return verdict

    def _raw_against_other(self, a: FileFacts, b: FileFacts) -> bool:
        """Return whether one is a raw file and the other has other bytes.

        Older versions indexed a raw file by its preview.
        """
        if a.sha256 and a.sha256 == b.sha256:
            return False
        return self._is_raw(a.path) or self._is_raw(b.path)

    def _is_raw(self, path: str) -> bool:
        if path not in self._raw:
            self._raw[path] = is_raw_file(path)
        return self._raw[path]

    def _to_results(self, groups: Sequence[Group]) -> list[DuplicateGroup]:
        """Describe the accepted proofs in words, and return the groups as results."""
        incomplete = [group for group in groups if self._undescribed(group)]
        pairs = [(g.keep, [(i, self._accepted[g.keep, i]) for i in self._undescribed(g)]) for g in incomplete]
        for (keep, others), described in zip(pairs, self._proofs.describe(pairs), strict=True):
            for (index, _), proof in zip(others, described, strict=True):
                self._accepted[keep, index] = proof
                self._proofs.save_description(keep, index, proof)
        return [self._group(group) for group in groups]

    def _undescribed(self, group: Group) -> list[int]:
        proofs = {index: self._accepted[group.keep, index] for index in group.extras}
        return [index for index, proof in proofs.items() if proof.verdict is not None and not proof.words]

    def _group(self, group: Group) -> DuplicateGroup:
        keep = self._files.facts[group.keep]
        extras = tuple(self._extra(group.keep, index) for index in group.extras)
        return DuplicateGroup(Hit(keep.id, 1.0, metadata_of(keep)), extras)

    def _extra(self, keep_index: int, index: int) -> Extra:
        keep, extra, proof = self._files.facts[keep_index], self._files.facts[index], self._accepted[keep_index, index]
        return Extra(
            id=extra.id,
            score=proof.score,
            relation=proof.relation,
            probability=proof.probability,
            words=proof.words,
            changes=proof.changes,
            reason=self._keep.reason(keep, extra),
            unsure=self._keep.is_unsure(keep, extra, proof.altered),
            blocked_reason=blocked_reason(extra, proof),
            transform=transform_of(proof),
            metadata=metadata_of(extra),
        )


def default_min_score(calibration: Calibration, size: int) -> float:
    """Return the score from which pairs are candidates.

    There a copy has a chance of _MIN_CHANCE, and an image has at most _MAX_FALSE_PAIRS unrelated images above it in a
    collection of `size`. Between 0.6 and 0.95.
    """
    if calibration.by_score is None:
        return _UNCALIBRATED_MIN_SCORE
    crowded = -1.0 if calibration.tail is None else calibration.tail.score_at(min(_MAX_FALSE_PAIRS / max(size, 1), 1.0))
    return min(max(calibration.min_score(_MIN_CHANCE), crowded, 0.6), 0.95)


def score_baseline(contents: Contents) -> ScoreBaseline | None:
    """Return a function from vectors to the mean of each one's 6th to 20th best score among a sample.

    None for fewer than _MIN_SAMPLE contents.
    """
    rows = contents.own_rows[contents.own_rows >= 0]
    if len(rows) < _MIN_SAMPLE:
        return None
    sampled = np.random.default_rng(0).permutation(rows)[:_SAMPLE]
    sample = np.stack([contents.vector(int(row)) for row in sampled])

    def baseline(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        scores = np.partition(vectors @ sample.T, -_BASELINE_TO, axis=1)[:, -_BASELINE_TO:]
        return np.asarray(np.sort(scores, axis=1)[:, : _BASELINE_TO - _BASELINE_FROM].mean(axis=1), np.float32)

    return baseline


@contextmanager
def single_threaded() -> Iterator[None]:
    """Have BLAS and OpenCV use no threads of their own: there is a task for each core.

    On a busy machine threads of the libraries wait for each other: the comparison of two unrelated images then costs
    32 ms of CPU instead of 5.
    """
    with single_threaded_opencv(), single_threaded_blas():
        yield


def is_writable(uri: str) -> bool:
    """Return whether results can be stored in the collection."""
    return uri == "memory:" or "://" in uri or os.access(uri, os.W_OK)


def metadata_of(file: FileFacts) -> dict[str, str | int | bool]:
    """Return the facts that a result holds, under stable names."""
    names = ("path", "width", "height", "size", "format", "mtime_ns", "sha256", "root", "frames", "reference")
    return {name: getattr(file, name) for name in names} | {"master": file.in_reference_collection}


def blocked_reason(extra: FileFacts, proof: Proof) -> str:
    """Return why the file of an extra must not be touched, as far as the search knows; "" if it may."""
    if not extra.path:
        return "was added from memory: there is no file"
    if is_remote(extra.path):
        return "is in an object store or on the web, where no file is moved or deleted"
    if not os.path.lexists(to_path(extra.path)):
        return "is inside an archive"
    if (folder := system_folder_of(extra.path)) is not None and folder.kind == "library":
        return f"is in {folder.path}, a photo library: remove it with the program that manages the library"
    if extra.frames > 1 and proof.relation != "identical":
        return "is an animation, of which not every frame was compared"
    return ""


def with_companions(groups: Sequence[DuplicateGroup]) -> Iterator[DuplicateGroup]:
    """Yield the groups, each extra with the companions that move with it if all extras that can move do."""
    paths = [_path(extra) for group in groups for extra in group.extras if not extra.blocked_reason]
    moving = {to_path(path): position for position, path in enumerate(paths) if path and not is_link(path)}
    companions = Companions()

    def companions_of(extra: Extra) -> tuple[str, ...]:
        path = to_path(_path(extra))
        try:
            return tuple(to_text(each.path) for each in companions.of(path, moving)) if path in moving else ()
        except OSError:  # reported when the extra is to be moved, and then it stays
            return ()

    for group in groups:
        yield replace(group, extras=tuple(replace(extra, companions=companions_of(extra)) for extra in group.extras))


def _path(extra: Extra) -> str:
    return str(extra.metadata.get("path") or "")


def _is_present(file: FileFacts) -> bool:
    """Return whether a file or its archive exists now; an image from memory always does."""
    if not file.path:
        return True
    return is_present(file.path) or os.path.isfile(to_path(file.path.split("!/")[0]))
