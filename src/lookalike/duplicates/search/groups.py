"""Group copies without chaining: keep the best file that is still free, and group with it only its own copies.

Copies are verified in other processes, so several groups are built at the same time. Each is a generator that yields
the pairs it needs verified (`_GroupTask`). A task whose files were assigned to another group meanwhile is discarded and
restarted, so the groups are the same as if they were built one after the other.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, cast

from lookalike.duplicates.keep.rules import Keep
from lookalike.duplicates.search.collection_arrays import FileFacts

_LOOKAHEAD = 256  # files in keep order, at least, among which the next groups are started
_PREFETCH_SIZE = 64  # files that are read together, with their partners
_MAX_FIRST_PARTNERS = 3  # likely partners of a file, the best of which is verified before all others


@dataclass(frozen=True, slots=True)
class Group:
    """Indices of files: the one to keep, and its copies in keep order."""

    keep: int
    extras: tuple[int, ...]


class CopyFinder(Protocol):
    """Finds and checks copies for `make_groups`. Files are named by their indices."""

    def partners(self, index: int) -> Iterable[int]:
        """Return the files that may be copies of a file."""

    def copies(self, index: int, others: Sequence[int]) -> Iterable[int]:
        """Return those of `others` that are copies of a file. Waits for their verification."""

    def prefetch(self, indices: Sequence[int]) -> None:
        """Read, in one go, what the verification of these files and their partners needs."""

    def submit(self, index: int, others: Sequence[int]) -> None:
        """Start to verify the pairs that `copies` will probably be called with."""

    def infer(self, index: int, previous: int, others: Iterable[int]) -> None:
        """Derive proofs for a file that replaces `previous` as the kept one; `others` are copies of `previous`."""

    def check_early(self, index: int, copies: Sequence[int], keep: Keep) -> None:
        """Record in `keep.measures` what the first known copies show against keeping a file."""

    def check_fully(self, index: int, copies: Sequence[int], keep: Keep) -> None:
        """Record in `keep.measures` what all copies of a file show against keeping it."""


def make_groups(
    files: Sequence[FileFacts],
    finder: CopyFinder,
    keep: Keep,
    *,
    ahead: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Group]:
    """Return the groups, in the order of the files they keep. A reference file is never an extra.

    `ahead`: how many groups are built at the same time. Groups are accepted in keep order, and each as if the earlier
    ones had been finished before it was started. The result does not depend on `ahead` or on the order in which proofs
    arrive.
    """
    order = keep.order(range(len(files)), files)
    builder = _GroupBuilder(files, finder, keep)
    tasks: dict[int, _GroupTask] = {}
    groups = []
    for position, index in enumerate(order):
        while index not in builder.assigned:
            _start_tasks(tasks, order[position : position + max(_LOOKAHEAD, 2 * ahead)], builder, max(ahead, 1))
            if not tasks[index].done:
                for task in tasks.values():
                    task.step(finder)
                continue
            task = tasks.pop(index)
            if not builder.assigned.isdisjoint(task.requested):
                continue  # an earlier group took one of its files after it had started: start it again
            if (group := task.group) is None:
                break
            # The group may keep another file and not contain this one: then this file gets a second task.
            builder.assigned.update((group.keep, *group.extras))
            keep.measures.merge(task.keep.measures)
            groups.append(group)
        tasks.pop(index, None)
        if progress:
            progress(position + 1, len(order))
    return groups


CopyRequest: TypeAlias = tuple[int, Sequence[int]]
"""A file, and the files that are verified against it."""
GroupSteps: TypeAlias = Generator[CopyRequest, None, Group | None]


class _GroupTask:
    """A group under construction. Each step ends with a request, whose result the next step reads.

    `partners`: of the file the task starts from. `keep`: the rules, with measures of this group only. `requested`: all
    files that took part in a request. `group`: None until `done`, and afterwards where the file has no copies.
    """

    def __init__(self, steps: GroupSteps, partners: set[int], keep: Keep) -> None:
        self.partners, self.keep = partners, keep
        self.requested: set[int] = set()
        self.done, self.group = False, cast("Group | None", None)
        self._steps = steps

    def step(self, finder: CopyFinder) -> None:
        if self.done:
            return
        try:
            index, others = next(self._steps)
            self.requested.update((index, *others))
            finder.submit(index, others)
        except StopIteration as end:
            self.done, self.group = True, end.value


def _start_tasks(tasks: dict[int, _GroupTask], upcoming: Sequence[int], builder: "_GroupBuilder", count: int) -> None:
    """Start a task for the first upcoming file, and for others until `count` are pending.

    Files that are partners of a started one are skipped, since both may end in one group. Where all are partners, as
    the pages of one template are, a quarter of `count` is started nevertheless.
    """
    for index in [index for index in tasks if index in builder.assigned]:
        del tasks[index]
    if upcoming[0] not in tasks:
        builder.prefetch([index for index in upcoming if index not in builder.assigned])
        tasks[upcoming[0]] = builder.task(upcoming[0])
    pending = sum(not task.done for task in tasks.values())
    if pending >= count or len(tasks) >= max(_LOOKAHEAD, 2 * count):
        return
    partners = set().union(*(task.partners for task in tasks.values()))
    free = [index for index in upcoming if index not in tasks and index not in builder.assigned]
    for max_pending, partners_too in ((count, False), (count // 4, True)):
        for position, index in enumerate(free):
            if pending >= max_pending or len(tasks) >= max(_LOOKAHEAD, 2 * count):
                break
            if index not in tasks and (partners_too or index not in partners):
                builder.prefetch(free[position:])
                task = tasks[index] = builder.task(index)
                partners |= task.partners
                pending += 1


class _GroupBuilder:
    """Builds groups; `assigned`: the files that are already in one."""

    def __init__(self, files: Sequence[FileFacts], finder: CopyFinder, keep: Keep) -> None:
        self.assigned: set[int] = set()
        self._prefetched: set[int] = set()
        self._files, self._finder, self._keep = files, finder, keep

    def prefetch(self, indices: Sequence[int]) -> None:
        """Read what the next files need, `_PREFETCH_SIZE` at a time."""
        if indices and indices[0] not in self._prefetched:
            batch = [index for index in indices[:_PREFETCH_SIZE] if index not in self._prefetched]
            self._prefetched.update(batch)
            self._finder.prefetch(batch)

    def task(self, index: int) -> _GroupTask:
        """Return a new task for the group of a file."""
        keep = self._keep.fork()
        return _GroupTask(self._build(index, keep), set(self._finder.partners(index)), keep)

    def _build(self, index: int, keep: Keep) -> GroupSteps:
        """Find the copies of the best file, until the checks find no better file among them."""
        best = yield from self._better_of(index, self._first_partners(index), keep)
        extras = yield from self._extras(best)
        while extras:
            self._finder.check_fully(best, sorted(extras), keep)
            better = yield from self._best_of(best, extras, keep)
            if better == best:
                return Group(best, tuple(keep.order(extras, self._files)))
            self._finder.infer(better, best, sorted(extras))
            better_extras = yield from self._extras(better)
            if not better_extras:
                return Group(best, tuple(keep.order(extras, self._files)))
            best, extras = better, better_extras
        return None

    def _best_of(self, best: int, extras: set[int], keep: Keep) -> Generator[CopyRequest, None, int]:
        """Return the file of a group that the rules keep, after the early check of each that would replace `best`."""
        while (first := self._first(best, extras, keep)) != best:
            checked = yield from self._better_of(first, [best], keep)
            if checked == first or self._first(best, extras, keep) == first:
                return first
        return best

    def _first_partners(self, index: int) -> list[int]:
        """Return the best of a file's likeliest partners: one copy often shows whether the file would be kept."""
        sha256 = self._files[index].sha256
        free = self._free(self._finder.partners(index), {index})
        likely = [p for p in free if not sha256 or self._files[p].sha256 != sha256][:_MAX_FIRST_PARTNERS]
        return self._keep.order(likely, self._files)[:1]

    def _better_of(self, index: int, others: Sequence[int], keep: Keep) -> Generator[CopyRequest, None, int]:
        """Return which of a file and its copies among `others` the rules keep, after an early check of the file."""
        copies = yield from self._copies(index, others)
        if copies:
            self._finder.check_early(index, copies, keep)
        return self._first(index, copies, keep)

    def _copies(self, index: int, others: Sequence[int]) -> Generator[CopyRequest, None, list[int]]:
        if not others:
            return []
        yield index, others
        return list(self._finder.copies(index, others))

    def _first(self, index: int, others: Iterable[int], keep: Keep) -> int:
        return keep.order((index, *others), self._files)[0]

    def _free(self, indices: Iterable[int], excluded: set[int]) -> list[int]:
        unique = dict.fromkeys(indices)
        return [i for i in unique if i not in excluded and i not in self.assigned and not self._files[i].reference]

    def _extras(self, best: int) -> Generator[CopyRequest, None, set[int]]:
        """Return the free copies of `best`. Partners of copies are candidates too, but verified against `best`."""
        extras: set[int] = set()
        visited, frontier = {best}, [best]
        while frontier:
            others = self._free((index for known in frontier for index in self._finder.partners(known)), visited)
            visited.update(others)
            frontier = yield from self._copies(best, others)
            extras.update(frontier)
        return extras
