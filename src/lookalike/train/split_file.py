"""Split files: CSV or Parquet with columns path, label and part, written once. Imports no torch."""

import csv
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from lookalike.errors import SourceError, nearest
from lookalike.image import to_path
from lookalike.image.sources.tables import moved, read_table
from lookalike.train.split import PARTS, Split

_COLUMNS = ("path", "label", "part")


def write_split(split: Split, file: Path, *, replace: bool = False) -> None:
    """Write `file` (.csv or .parquet). Paths under its folder are relative to it, so both can move.

    An existing file is an error unless `replace`: a model trained on one split must not be tested on another. Raises
    SourceError.
    """
    check_writable(file, replace=replace)
    rows = zip(_relative(split.paths, file), split.labels, split.parts, strict=True)
    temp = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        (_write_csv if file.suffix.lower() == ".csv" else _write_parquet)(rows, temp)
        temp.replace(file)
    except OSError as error:
        raise SourceError(f"{file} cannot be written ({error.strerror}); choose another folder with -o") from None
    finally:
        temp.unlink(missing_ok=True)


def check_writable(file: Path, *, replace: bool = False) -> None:
    """Raise SourceError if `write_split` would refuse the file, before the images are read."""
    if file.suffix.lower() not in (".csv", ".parquet"):
        raise SourceError(f"{file} does not end in .csv or .parquet; name one of the two")
    if file.exists() and not replace:
        raise SourceError(f"{file} exists, and a split is made once; name another file, or add --overwrite")


def read_split(file: Path, *, root: Path | None = None) -> Split:
    """Read a file of `write_split`, or any table with columns path, part and perhaps label. Paths come back absolute.

    `root`: the folder of the images, if they have moved. Missing images are left out and listed in `Split.missing`.
    Raises SourceError for a missing file or column, an unknown part, or if no image exists.
    """
    rows = _rows(file)
    here = os.path.abspath(file.parent)
    paths = [os.path.normpath(os.path.join(here, row["path"])) for row in rows]
    if root:
        paths = moved(paths, os.path.abspath(root))
    present = [os.path.isfile(to_path(path.split("!/")[0])) for path in paths]
    available = [n for n, exists in enumerate(present) if exists]
    if not available:
        raise SourceError(
            f"none of the {len(rows):,} images of {file} exists; the first is {paths[0]}. "
            "If the folder has moved, name it with --root FOLDER"
        )
    labels, parts = ([(rows[n].get(column) or "") for n in available] for column in ("label", "part"))
    missing = tuple((paths[n], rows[n]["part"]) for n, exists in enumerate(present) if not exists)
    return Split(paths=[paths[n] for n in available], labels=labels, parts=parts, missing=missing)


def _rows(file: Path) -> list[Mapping[str, str]]:
    hint = f"make one with: lookalike split FOLDER -o {file.with_suffix('.csv').name}"
    try:
        table = read_table(str(file))
    except SourceError as error:
        raise SourceError(f"{error}; {hint}") from None
    columns, rows = table.columns, list(table.rows)
    for column in ("path", "part"):
        if column not in columns:
            raise SourceError(f"{file} has no column {column!r} (it has: {', '.join(columns) or 'none'}); {hint}")
    for row in rows:
        if row["part"] not in PARTS:
            raise SourceError(
                f"{file}: part {row['part']!r} of {row['path']} is not known; {nearest(row['part'], PARTS)}"
            )
    return rows


def _relative(paths: Iterable[str], file: Path) -> Iterable[str]:
    here = f"{os.path.abspath(file.parent)}/"
    return (path.removeprefix(here) for path in paths)


def _write_csv(rows: Iterable[tuple[str, str, str]], file: Path) -> None:
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(_COLUMNS)
        writer.writerows(rows)


def _write_parquet(rows: Iterable[tuple[str, str, str]], file: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    pyarrow.parquet.write_table(pa.table(dict(zip(_COLUMNS, map(list, columns), strict=True))), file)
