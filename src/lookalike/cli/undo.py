"""lookalike undo: put back what `duplicates --apply` took away."""

from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.options import JsonOption
from lookalike.cli.output import ProgressLine, log, print_json, print_row


def undo(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="The file that --journal named.")],
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Also if another machine wrote it; its disks must be here.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Put every file back where it was: out of the trash, out of the folder, or as a file of its own again."""
    from lookalike.duplicates import undo as take_back

    with ProgressLine("files") as progress:
        undone = take_back(journal, anyway=anyway, progress=progress)
    for path in undone.restored:
        print_json({"path": path, "restored": True, "reason": ""}) if json else print_row(f"restored  {path}")
    for left in undone.left:
        print_json({"path": left.path, "restored": False, "reason": left.reason}) if json else log(
            f"{left.path} {left.reason}"
        )
    if not (undone.restored or undone.there or undone.left):
        log(_nothing(journal, undone.already))
        return
    log(
        f"{len(undone.restored):,} restored, {len(undone.there):,} were in their places, "
        f"{len(undone.left):,} could not be put back"
    )
    if undone.left:
        raise typer.Exit(1)


def _nothing(journal: Path, already: int) -> str:
    if already:
        return f"{journal} was undone already: all it took away ({already:,}) was put back then"
    return f"{journal} tells of no file that was taken away: there is nothing to put back"
