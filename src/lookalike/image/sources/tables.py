"""Read tables of text from .csv, .tsv and .parquet files."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import TextIOWrapper

from lookalike.errors import SourceError
from lookalike.image.sources.files import open_file
from lookalike.image.sources.path_text import to_path, to_text


@dataclass(frozen=True, slots=True)
class TextTable:
    """Rows of text by column; an empty cell is "". Column names are stripped of surrounding spaces."""

    path: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]

    def column(self, *names: str) -> str | None:
        """Return the first of these columns that exists, ignoring case."""
        lower = {column.lower(): column for column in reversed(self.columns)}
        return next((lower[name] for name in names if name in lower), None)

    def file(self, cell: str) -> str:
        """Return the path in a cell; relative paths start at the table's folder."""
        return os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(self.path)), to_path(cell)))


def moved(paths: Sequence[str], root: str) -> list[str]:
    """Return the paths moved from their common folder to `root`."""
    common = os.path.commonpath([os.path.dirname(path) for path in paths])
    return [os.path.join(root, os.path.relpath(path, common)) for path in paths]


def read_table(path: str) -> TextTable:
    """Read a whole table. Raises SourceError."""
    try:
        lines = _read_parquet(to_text(path)) if path.lower().endswith(".parquet") else _read_csv(to_text(path))
        columns = tuple(name.strip() for name in next(lines, []))
        rows = tuple(dict(zip(columns, [*cells, *[""] * len(columns)], strict=False)) for cells in lines if cells)
    except Exception as error:  # pyarrow raises many kinds of errors
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
        raise SourceError(f"{to_text(path)}: cannot be read ({reason}); pass a .csv, .tsv or .parquet file") from error
    if not rows:
        raise SourceError(
            f"{to_text(path)}: holds no rows; the first line must name the columns, and each further line an image"
        )
    return TextTable(path, columns, rows)


def _read_csv(path: str) -> Iterator[list[str]]:
    yield from ([to_text(cell.strip()) for cell in row] for row in csv_rows(path))


def csv_rows(path: str) -> Iterator[list[str]]:
    """Yield the cells of each line of a .csv or .tsv file, in the encodings and with the delimiters of spreadsheets.

    `path`: text form.
    """
    with open_file(path) as file:
        start = file.read(1 << 16)
        utf16 = start.startswith((b"\xff\xfe", b"\xfe\xff"))  # the "Unicode text" format of spreadsheets
        encoding = "utf-16" if utf16 else "utf-8-sig"
        first = start.decode(encoding, "replace").split("\n", 1)[0]
        delimiter = "\t" if path.lower().endswith(".tsv") else max(",;\t|", key=first.count)
        file.seek(0)
        # A file name may contain bytes that are not UTF-8; they are decoded as by os.listdir.
        errors = "strict" if utf16 else "surrogateescape"
        with TextIOWrapper(file, encoding=encoding, errors=errors, newline="") as text:
            yield from csv.reader(text, delimiter=delimiter)


def _read_parquet(path: str) -> Iterator[list[str]]:
    import pyarrow.parquet

    with open_file(path) as opened, pyarrow.parquet.ParquetFile(opened) as file:
        yield list(file.schema_arrow.names)
        for batch in file.iter_batches(batch_size=4096):
            for row in batch.to_pylist():
                yield ["" if cell is None else str(cell) for cell in row.values()]
