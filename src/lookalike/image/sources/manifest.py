"""List images named by a table: .csv, .tsv or .parquet, with a column of paths and any other columns."""

import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

from lookalike.errors import SourceError
from lookalike.image.sources.files import open_file
from lookalike.image.sources.object_store import is_object, object_state, object_uri
from lookalike.image.sources.os_errors import os_reason
from lookalike.image.sources.path_text import to_path, to_text
from lookalike.image.sources.source_types import NotListed, SourceFile, source_file
from lookalike.image.sources.tables import csv_rows
from lookalike.image.sources.web import is_web
from lookalike.types import Scalar

PATH_COLUMNS = ("path", "file", "filename", "image", "url")
WEB_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
LABEL_COLUMNS = ("label", "class", "category", "tag")

_INTEGER = re.compile(r"[+-]?(0|[1-9]\d{0,17})")  # "007" is text, not a number; 18 digits fit in 64 bits
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_LEADING_ZERO = re.compile(r"[+-]?0\d")
_TRUTH = {"true": True, "false": False}

Cells = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Columns:
    """The roles of the columns. `others` become metadata under their own names."""

    path: str
    id: str | None
    label: str | None
    others: tuple[str, ...]

    @classmethod
    def of(cls, names: Iterable[str], manifest: str) -> "_Columns":
        known = [name for name in names if name]
        lower = {name.strip().lower(): name for name in reversed(known)}
        path = next((lower[word] for word in PATH_COLUMNS if word in lower), None)
        if path is None:
            raise SourceError(
                f"{manifest}: has no column of paths; name one of its columns {', '.join(PATH_COLUMNS)} "
                f"(it has: {', '.join(known[:12]) or 'none'})"
            )
        label = next((lower[word] for word in LABEL_COLUMNS if word in lower), None)
        assigned = {path, lower.get("id"), label}
        return cls(path, lower.get("id"), label, tuple(name for name in known if name not in assigned))


def find_rows(path: str) -> Iterator[SourceFile | NotListed]:
    """List the images named by a manifest, whose path is in text form; a row without a file yields a NotListed.

    Relative paths start at the manifest's folder. Columns: path (or file, filename, image), id, label (or class,
    category, tag). Every other column is metadata; its type is the narrowest that fits all its values: bool (true,
    false), int, float, else str; empty cells are None. Raises SourceError.
    """
    manifest = path
    try:
        rows = _read_parquet(path) if path.lower().endswith(".parquet") else _read_csv(path)
        names = next(rows)
        columns = _Columns.of(names, manifest)
        for number, cells in enumerate(rows, start=2):
            yield _row(path, number, cells, columns)
    except SourceError:
        raise
    except Exception as error:  # pyarrow raises many kinds of errors
        reason = os_reason(error) if isinstance(error, OSError) and error.errno else f"cannot be read ({error})"
        raise SourceError(f"{manifest}: {reason}; a manifest is a .csv, .tsv or .parquet table") from error


def named_file(path: str) -> SourceFile | NotListed:
    """Return a file or an object named by the user, whatever its extension. `path`: text form."""
    if not is_object(path):
        return source_file(to_path(path), os.path.dirname(to_path(path)))
    try:
        state = object_state(path)
    except SourceError as error:
        return NotListed(path, str(error).removeprefix(f"{path}: "))
    if state is None:
        return NotListed(path, "no such object")
    folder, _, name = path.rpartition("/")
    return SourceFile(path, folder, name, *state)


def _row(manifest: str, number: int, cells: Cells, columns: _Columns) -> SourceFile | NotListed:
    named = cells[columns.path]
    if named is None or not str(named).strip():
        return NotListed(manifest, f"row {number} names no file")
    named = str(named)
    if WEB_ADDRESS.match(named.strip()):  # the name of a file may begin with a space
        named = named.strip()
    if WEB_ADDRESS.match(named) and not is_web(named) and not is_object(named):
        return NotListed(named, f"row {number}: only http, https and object stores are read")
    try:
        file = _web_file(named) if is_web(named) else _file_beside(manifest, named)
    except ValueError:  # such as http://[x/
        return NotListed(named, f"row {number} is no address in the web")
    except SourceError as error:  # s3:// alone
        return NotListed(named, f"row {number}: {str(error).removeprefix(f'{named}: ')}")
    if isinstance(file, NotListed):
        return replace(file, reason=f"row {number}: {file.reason}")
    return replace(
        file,
        root=manifest,
        id=_text_or_none(cells[columns.id]) if columns.id else None,
        label=_text_or_none(cells[columns.label]) if columns.label else None,
        metadata={name: cells[name] for name in columns.others},
    )


def _file_beside(manifest: str, named: str) -> SourceFile | NotListed:
    """Return the file or the object of a name; relative ones start at the manifest's folder. Raises SourceError."""
    folder = manifest.rpartition("/")[0] if is_object(manifest) else os.path.dirname(manifest)
    if is_object(named) or is_object(folder):
        file = named_file(object_uri(named) if is_object(named) else _joined(folder, named))
    else:
        start = to_path(folder)
        file = _first_file(os.path.normpath(os.path.join(start, spelling)) for spelling in (named, to_path(named)))
    if isinstance(file, NotListed):
        return file
    return replace(file, name=file.path.removeprefix(os.path.join(folder, "")).replace(os.sep, "/"))


def _web_file(url: str) -> SourceFile:
    """Return the file at a URL, which nobody asks before it is read: once indexed, it is taken to be unchanged."""
    parts = urlsplit(url)
    return SourceFile(url, "", f"{parts.netloc}{parts.path}" + (f"?{parts.query}" if parts.query else ""), 0, 0)


def _joined(folder: str, name: str) -> str:
    """Return the URI of a relative name: slashes, no ".." that climbs out of the bucket."""
    scheme, _, path = folder.partition("://")
    bucket, _, prefix = path.partition("/")
    return f"{scheme}://{bucket}" + posixpath.normpath(posixpath.join("/", prefix, name.replace("\\", "/")))


def _first_file(paths: Iterable[str]) -> SourceFile | NotListed:
    """Return the first spelling that is a file: the name as written, or as the text form (`to_text`) of a path."""
    spellings = list(dict.fromkeys(paths))
    tried = [source_file(path, os.path.dirname(path)) for path in spellings[:1]]
    if isinstance(tried[0], NotListed) and len(spellings) > 1:
        tried.append(source_file(spellings[1], os.path.dirname(spellings[1])))
    return next((result for result in tried if isinstance(result, SourceFile)), tried[0])


def _text_or_none(cell: Scalar) -> str | None:
    return None if cell is None or cell == "" else str(cell)


def _read_csv(path: str) -> Iterator[Any]:
    """Yield the header, then one mapping per row.

    The file is read twice, since the type of a column depends on all its cells.
    """
    header: list[str] | None = None
    kinds: dict[str, str] = {}
    for row in csv_rows(path):
        if header is None:
            header = [name.strip() for name in row]
            continue
        for name, cell in zip(header, row, strict=False):
            if cell.strip():
                kinds[name] = _widen(kinds.get(name), cell.strip())
    if header is None:
        raise SourceError(f"{path}: is empty; its first line must name the columns")
    text_columns = {*PATH_COLUMNS, *LABEL_COLUMNS, "id"}
    kinds = {name: "str" if name.lower() in text_columns else kinds.get(name, "str") for name in header}
    yield header
    lines = csv_rows(path)
    next(lines)
    for row in lines:
        if row:
            padded = chain(row, [""] * (len(header) - len(row)))
            yield {name: _to_scalar(cell, kinds[name]) for name, cell in zip(header, padded, strict=False)}


def _widen(kind: str | None, cell: str) -> str:
    """Return the narrowest type that holds `cell` and all earlier cells of the column, which have type `kind`."""
    if kind == "str":
        return kind
    if cell.lower() in _TRUTH:
        cell_kind = "bool"
    elif _INTEGER.fullmatch(cell):
        cell_kind = "int"
    elif _NUMBER.fullmatch(cell) and not _LEADING_ZERO.match(cell) and len(cell) < 40:
        cell_kind = "float"
    else:
        return "str"
    return cell_kind if kind in (None, cell_kind) else "float" if {kind, cell_kind} == {"int", "float"} else "str"


def _to_scalar(cell: str, kind: str) -> Scalar:
    text = cell.strip()
    if not text:
        return None
    match kind:
        case "bool":
            return _TRUTH[text.lower()]
        case "int":
            return int(text)
        case "float":
            return float(text)
        case _:
            return cell if any("\udc80" <= sign <= "\udcff" for sign in cell) else to_text(cell)


def _read_parquet(path: str) -> Iterator[Any]:
    import pyarrow.parquet

    with open_file(path) as opened, pyarrow.parquet.ParquetFile(opened) as file:
        yield list(file.schema_arrow.names)
        for batch in file.iter_batches(batch_size=4096):
            for cells in batch.to_pylist():
                yield {name: _parquet_scalar(cell) for name, cell in cells.items()}


def _parquet_scalar(cell: Any) -> Scalar:
    """Convert a Parquet value to a scalar: dates, decimals, lists and the like become text."""
    return cell if cell is None or isinstance(cell, bool | int | float | str | bytes) else str(cell)
