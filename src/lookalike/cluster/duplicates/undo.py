"""Take back what a journal tells: every file to where it was, whatever a crash left half done."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lookalike.cluster.duplicates import trash
from lookalike.cluster.duplicates.apply import Left
from lookalike.cluster.duplicates.journal import Header, Journal, Recorded, Step, machine, read_journal
from lookalike.cluster.duplicates.moving import is_file, move_file, same_inode, sha256_of, unlink_over
from lookalike.errors import JournalError
from lookalike.image import to_path, to_text

_OPEN = ("begin", "done")


@dataclass(slots=True)
class Undone:
    """`restored`: files put back. `there`: files that were in their places already. `left`: what could not be.

    `already`: how many files an earlier undo of the same journal had put back.
    """

    restored: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    already: int = 0


def undo(journal: str | Path, *, anyway: bool = False, progress: Callable[[int, int], None] | None = None) -> Undone:
    """Follow a journal backwards. It may be run again: what is back already is told and left.

    `anyway`: also on another machine than the one that wrote it (where the same disks are). Raises JournalError.
    """
    recorded = read_journal(journal)
    _check_machine(recorded.header, journal, anyway=anyway)
    undone = Undone(already=list(recorded.state.values()).count("undone"))
    steps = [step for step in reversed(recorded.steps) if recorded.state[step.number] in _OPEN]
    with Journal.reopen(journal) as notes:
        for done, step in enumerate(steps, 1):
            _one(step, recorded, undone, notes)
            if progress:
                progress(done, len(steps))
    return undone


def _check_machine(header: Header, journal: str | Path, *, anyway: bool) -> None:
    if header.machine != machine() and not anyway:
        raise JournalError(
            f"{journal} was written on another machine ({header.host}), whose paths mean nothing here; undo it there, "
            f"or, where the same disks are under the same names: lookalike undo {journal} --anyway"
        )


def _one(step: Step, recorded: Recorded, undone: Undone, notes: Journal) -> None:
    kind = recorded.header.action.partition(":")[0]
    back = {"move": _move_back, "trash": _out_of_trash, "hardlink": _own_file}.get(kind)
    if back is None:
        raise JournalError(f"the journal tells of {kind!r}, which this version does not know; update Lookalike")
    try:
        _sweep(_beside(to_path(step.path), step))  # an undo that was killed while it copied
        problem = back(step, undone, recorded.where.get(step.number, ""))
        if kind == "move":
            _drop_empty(os.path.dirname(to_path(step.target)), to_path(recorded.header.action.partition(":")[2]))
    except (OSError, ValueError) as error:
        problem = f"could not be put back ({getattr(error, 'strerror', None) or error})"
    if problem:
        undone.left.append(Left(step.path, problem))
    else:
        notes.note(step.number, "undone")


def _move_back(step: Step, undone: Undone, _where: str) -> str:
    path, target, aside = (to_path(text) for text in (step.path, step.target, step.aside))
    if os.path.lexists(path):
        if not _is(path, step.sha256):
            return _in_the_way(target)
        if is_file(target) and _is(target, step.sha256):
            os.unlink(target)  # a crash came between the copy and the removal: the original is whole
        undone.there.append(step.path)
    elif is_file(target):
        if not _is(target, step.sha256):
            return f"was changed where it was moved to, {step.target}; it is left there"
        move_file(target, path, _beside(path, step), step.sha256)
        undone.restored.append(step.path)
    else:
        return f"is neither in its place nor at {step.target}"
    _sweep(aside)  # a copy that was never finished
    return ""


def _out_of_trash(step: Step, undone: Undone, where: str) -> str:
    path = to_path(step.path)
    if os.path.lexists(path):
        if not _is(path, step.sha256):
            return _in_the_way(to_path(where)) if where else "has another file in its place now"
        undone.there.append(step.path)
        return ""
    found = trash.find(path, step.sha256)
    if found is None and where and is_file(to_path(where)) and _is(to_path(where), step.sha256):
        found = to_path(where), ""
    if found is None:
        return "is not in the trash any more: it was emptied, or the file was taken out"
    move_file(found[0], path, _beside(path, step), step.sha256)
    if found[1]:
        os.unlink(found[1])
    undone.restored.append(step.path)
    return ""


def _own_file(step: Step, undone: Undone, _where: str) -> str:
    path, keep = to_path(step.path), to_path(step.keep)
    if not is_file(path):
        return "is not there any more"
    status, linked = os.lstat(path), same_inode(path, keep)
    if not linked and (status.st_ino == step.inode or status.st_nlink == 1):
        undone.there.append(step.path)
        return ""
    if not _is(path, step.sha256):
        return "was changed after it had become a hard link; it is left as it is"
    unlink_over(path, _beside(path, step), mtime_ns=step.mtime_ns, mode=step.mode)
    undone.restored.append(step.path)
    return ""


def _is(path: str, sha256: str) -> bool:
    return is_file(path) and sha256_of(path) == sha256


def _in_the_way(place: str) -> str:
    return f"has another file in its place now; the one taken away is at {to_text(place)}"


def _beside(path: str, step: Step) -> str:
    return os.path.join(os.path.dirname(path), os.path.basename(to_path(step.aside)))


def _sweep(aside: str) -> None:
    """Remove what a crash left under a name that is ours: an unfinished copy, or a second name of a whole file."""
    if is_file(aside):
        os.unlink(aside)


def _drop_empty(folder: str, top: str) -> None:
    """Folders below `top` that were made for the moved files and are empty again; `top` itself stays."""
    try:
        while folder.startswith(os.path.join(top, "")):
            os.rmdir(folder)
            folder = os.path.dirname(folder)
    except OSError:
        return
