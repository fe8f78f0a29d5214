"""Checks of output files before the work, so that a long run does not fail at its end."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from lookalike.cli.usage_errors import checked_by
from lookalike.errors import BadQuery, LookalikeError
from lookalike.text import expanded


def ends_in(*suffixes: str) -> Callable[..., Any]:
    """Return the callback of an option for a file whose name ends in one of these: ".png"."""

    def check(file: str | Path) -> None:
        if Path(file).suffix.lower() not in suffixes:
            *others, last = suffixes
            raise BadQuery(
                f"{file} does not end in {', '.join(others)}{' or ' if others else ''}{last}; name such a file"
            )

    return checked_by(check)


FIGURE = ends_in(".png", ".pdf", ".svg")
TABLE = ends_in(".csv", ".parquet")


def check_output_files(*files: Path | None) -> None:
    """Raise LookalikeError if one of these files cannot be written. Creates nothing."""
    for file in files:
        if file is not None:
            _check(expanded(file).absolute())


def _check(file: Path) -> None:
    if file.is_dir():
        raise LookalikeError(f"{file} is a folder; name a file")
    folder = next(parent for parent in file.parents if parent.exists())
    try:
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise LookalikeError(
            f"{file} cannot be written ({error.strerror}); name a file in a folder you may write to"
        ) from None
