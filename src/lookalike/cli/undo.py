"""lookalike undo: put back files that `duplicates --apply` removed."""

from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.command import interrupt_text
from lookalike.cli.options import JsonOption
from lookalike.cli.output import ProgressLine, log, print_json, print_row


def undo(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="The file given to --journal.")],
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Undo even if another machine wrote the journal; its disks must be here.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Put every file back where it was: from the trash or a folder, or as a separate file instead of a hard link."""
    from lookalike.duplicates import undo as undo_journal

    with interrupt_text("interrupted; the same command puts the other files back"), ProgressLine("files") as progress:
        result = undo_journal(journal, force=anyway, progress=progress)
    for path in result.restored:
        print_json({"path": path, "restored": True, "reason": ""}) if json else print_row(f"restored  {path}")
    for file in result.skipped:
        print_json({"path": file.path, "restored": False, "reason": file.reason}) if json else log(
            f"{file.path} {file.reason}"
        )
    if not (result.restored or result.already_present or result.skipped):
        log(_no_steps_text(journal, result.previously_restored))
        return
    log(
        f"{len(result.restored):,} restored, {len(result.already_present):,} already in place, "
        f"{len(result.skipped):,} could not be restored"
    )
    if result.skipped:
        raise typer.Exit(1)


def _no_steps_text(journal: Path, previously_restored: int) -> str:
    if previously_restored:
        return f"{journal} has already been undone; {previously_restored:,} files were restored then"
    return f"{journal} lists no removed files, so there is nothing to restore"
