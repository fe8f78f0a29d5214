"""Take back what a journal tells: every file to where it was, whatever a crash left half done."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lookalike.duplicates.files.apply import Left
from lookalike.duplicates.files.journal import Header, Journal, Recorded, Step, machine, read_journal
from lookalike.duplicates.files.restore import RESTORED, put_back
from lookalike.errors import JournalError

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
    outcome, problem = put_back(step, recorded.header.action, recorded.where.get(step.number, ""))
    if problem:
        undone.left.append(Left(step.path, problem))
    else:
        (undone.restored if outcome == RESTORED else undone.there).append(step.path)
        notes.note(step.number, "undone")
