"""A table of text: .csv, .tsv or .parquet, as spreadsheets and programs write them."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lookalike.errors import SourceError
from lookalike.image.sources.path_text import to_path, to_text


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text by column; an empty cell is "". Column names are as written, but for spaces around them."""

    path: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]

    def column(self, *names: str) -> str | None:
        """The first of these columns that there is, upper and lower case being one."""
        lower = {column.lower(): column for column in reversed(self.columns)}
        return next((lower[name] for name in names if name in lower), None)

    def file(self, cell: str) -> str:
        """The path that a cell names, relative ones from the table's own folder."""
        return os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(self.path)), to_path(cell)))


def moved(paths: Sequence[str], root: str) -> list[str]:
    """The paths as they are below `root`, if they lay in the same way below the folder common to them all."""
    common = os.path.commonpath([os.path.dirname(path) for path in paths])
    return [os.path.join(root, os.path.relpath(path, common)) for path in paths]


def read_table(path: str) -> Table:
    """Read a table whole. Raises SourceError."""
    try:
        lines = _parquet(path) if path.lower().endswith(".parquet") else _csv(path)
        columns = tuple(name.strip() for name in next(lines, []))
        rows = tuple(dict(zip(columns, [*cells, *[""] * len(columns)], strict=False)) for cells in lines if cells)
    except Exception as error:  # pyarrow has errors of many kinds
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
        raise SourceError(f"{to_text(path)}: cannot be read ({reason}); a .csv, .tsv or .parquet is wanted") from error
    if not rows:
        raise SourceError(f"{to_text(path)}: holds no rows; its first line names the columns, the others are pictures")
    return Table(path, columns, rows)


def _csv(path: str) -> Iterator[list[str]]:
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        first = file.readline()
        file.seek(0)
        delimiter = "\t" if path.lower().endswith(".tsv") else max(",;\t", key=first.count)
        yield from ([to_text(cell.strip()) for cell in row] for row in csv.reader(file, delimiter=delimiter))


def _parquet(path: str) -> Iterator[list[str]]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        yield list(file.schema_arrow.names)
        for batch in file.iter_batches(batch_size=4096):
            for row in batch.to_pylist():
                yield ["" if cell is None else str(cell) for cell in row.values()]
