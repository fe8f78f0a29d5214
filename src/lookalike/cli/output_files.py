"""Files that a verb will write, tried before its work: what cannot be written must not cost minutes or be half done."""

from pathlib import Path
from tempfile import TemporaryFile

from lookalike.errors import LookalikeError


def check_output_files(*files: Path | None) -> None:
    """Raise LookalikeError where one of these files could not be written. Leaves nothing behind."""
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
