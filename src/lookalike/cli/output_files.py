"""A check of the output files before the work, so that a long run does not fail at its end."""

from pathlib import Path
from tempfile import TemporaryFile

from lookalike.errors import LookalikeError


def check_output_files(*files: Path | None) -> None:
    """Raise LookalikeError if one of these files cannot be written. Creates nothing."""
    for file in files:
        if file is not None:
            _check(file.expanduser().absolute())


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
