"""Undo a journal: put every file back where it was, whatever state a crash left it in."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lookalike.deprecation import renamed_property
from lookalike.duplicates.files.apply import SkippedFile
from lookalike.duplicates.files.journal import Journal, JournalHeader, ParsedJournal, Step, machine_id, read_journal
from lookalike.duplicates.files.restore import RESTORED, restore_file
from lookalike.errors import JournalError

_UNDOABLE = ("begin", "done")


@dataclass(slots=True)
class UndoResult:
    """`restored`: paths of files put back. `already_present`: paths of files that were in their places already.

    `skipped`: files that could not be restored. `previously_restored`: the number of files that an earlier undo of the
    same journal put back.
    """

    restored: list[str] = field(default_factory=list)
    already_present: list[str] = field(default_factory=list)
    skipped: list[SkippedFile] = field(default_factory=list)
    previously_restored: int = 0

    there = renamed_property("there", "already_present")
    left = renamed_property("left", "skipped")
    already = renamed_property("already", "previously_restored")


def undo(
    journal: str | Path,
    *,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
    anyway: bool | None = None,
) -> UndoResult:
    """Undo the steps of a journal in reverse order. A second run skips what is restored already.

    `force`: undo also on another machine than the one that wrote the journal (if the same disks are there).
    `anyway`: deprecated name of `force`. Raises JournalError.
    """
    if anyway is not None:
        warnings.warn("undo(anyway=...) is now undo(force=...)", DeprecationWarning, stacklevel=2)
        force = anyway
    parsed = read_journal(journal)
    _check_machine(parsed.header, journal, force=force)
    result = UndoResult(previously_restored=list(parsed.state.values()).count("undone"))
    steps = [step for step in reversed(parsed.steps) if parsed.state[step.number] in _UNDOABLE]
    with Journal.reopen(journal) as opened:
        for done, step in enumerate(steps, 1):
            _undo_step(step, parsed, result, opened)
            if progress:
                progress(done, len(steps))
    return result


def _check_machine(header: JournalHeader, journal: str | Path, *, force: bool) -> None:
    if header.machine != machine_id() and not force:
        raise JournalError(
            f"{journal} was written on another machine ({header.host}), so its paths may be other files here; undo it "
            f"there, or, if the same disks are mounted under the same paths: lookalike undo {journal} --anyway"
        )


def _undo_step(step: Step, parsed: ParsedJournal, result: UndoResult, journal: Journal) -> None:
    outcome, problem = restore_file(step, parsed.header.action, parsed.locations.get(step.number, ""))
    if problem:
        result.skipped.append(SkippedFile(step.path, problem))
    else:
        (result.restored if outcome == RESTORED else result.already_present).append(step.path)
        journal.record(step.number, "undone")
