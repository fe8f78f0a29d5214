"""What is right: which picture answers which query, from a table, class folders, pairs, or a split."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import SourceError, nearest
from lookalike.image import NotListed, SourceFile, find, to_text
from lookalike.image.sources.manifest import LABEL_COLUMNS, PATH_COLUMNS
from lookalike.image.sources.source_types import source_file
from lookalike.image.sources.tables import TextTable, moved, read_table
from lookalike.types import Failure

Rows = NDArray[np.int64]
Names = NDArray[np.str_]

TRUTH_FILES = ("ground_truth.csv", "ground_truth.parquet")
_NO_ROWS = np.zeros(0, np.int64)
_NO_NAMES = np.zeros(0, np.str_)
_SAME = {
    "1": True,
    "true": True,
    "yes": True,
    "same": True,
    "0": False,
    "false": False,
    "no": False,
    "different": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Pictures, and what is right among them.

    `queries` and `gallery`: rows of `pictures`, each with a label beside it ("": a query without an answer, a
    distractor). Or, for pairs, `first` and `second`: rows of `pictures` that are the `same` or not. `columns`: further
    columns, a value a query or pair, to break figures down by. `kind`: "table", "folders", "pairs" or "split".
    """

    name: str
    kind: str
    pictures: tuple[SourceFile, ...]
    queries: Rows = field(default_factory=lambda: _NO_ROWS)
    query_labels: Names = field(default_factory=lambda: _NO_NAMES)
    gallery: Rows = field(default_factory=lambda: _NO_ROWS)
    gallery_labels: Names = field(default_factory=lambda: _NO_NAMES)
    first: Rows = field(default_factory=lambda: _NO_ROWS)
    second: Rows = field(default_factory=lambda: _NO_ROWS)
    same: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    columns: Mapping[str, Names] = field(default_factory=dict)
    skipped: tuple[Failure, ...] = ()

    @property
    def ids(self) -> Names:
        """What tells pictures apart: their paths."""
        return np.array([picture.path for picture in self.pictures], np.str_)

    def column(self, name: str) -> Names:
        """A value a query. Raises SourceError with the nearest names."""
        if name not in self.columns:
            raise SourceError(f"{self.name} has no column {name!r} to break down by; {nearest(name, self.columns)}")
        return self.columns[name]

    def without(self, bad: Sequence[int]) -> "Truth":
        """The same less some pictures, which keep their rows but are nobody's query, answer or half of a pair."""
        gone = np.isin(np.arange(len(self.pictures)), list(bad))
        asked, known, paired = ~gone[self.queries], ~gone[self.gallery], ~(gone[self.first] | gone[self.second])
        kept = paired if self.kind == "pairs" else asked
        return Truth(
            name=self.name,
            kind=self.kind,
            pictures=self.pictures,
            queries=self.queries[asked],
            query_labels=self.query_labels[asked],
            gallery=self.gallery[known],
            gallery_labels=self.gallery_labels[known],
            first=self.first[paired],
            second=self.second[paired],
            same=self.same[paired],
            columns={name: values[kept] for name, values in self.columns.items()},
            skipped=self.skipped,
        )


def read_truth(source: str | Path, *, root: str | Path | None = None) -> Truth:
    """Ground truth from a folder or a .csv, .tsv or .parquet table. Paths in a table start from its own folder.

    Columns path, label, role (query or gallery): our format; path, label, part (train, val, test): a split, whose test
    part is used, each picture against the rest; path, label: each against the rest; a, b, same: pairs. A folder is
    read by its ground_truth.csv where it has one; else the folders in it are the labels. `root`: where the pictures of
    a table are now, if they moved. Raises SourceError.
    """
    path = os.path.abspath(os.path.expanduser(os.fspath(source)))
    if os.path.isdir(path):
        table = next(
            (os.path.join(path, name) for name in TRUTH_FILES if os.path.exists(os.path.join(path, name))), None
        )
        if table is None and root is not None:
            raise SourceError(f"{to_text(path)}: a folder is where it is; a root is for the paths of a table")
        return _folders(path) if table is None else read_truth(table, root=root)
    if not os.path.exists(path):
        raise SourceError(f"{to_text(path)}: no such file or folder; check the spelling and that the drive is there")
    table_read = read_table(path)
    place = None if root is None else os.path.abspath(os.path.expanduser(os.fspath(root)))
    return _pairs(table_read, place) if table_read.column("same") else _table(table_read, place)


def _name(path: str) -> str:
    folder, file = os.path.split(path)
    return to_text(os.path.basename(folder) if file in TRUTH_FILES else file)


# --- folders


def _folders(path: str) -> Truth:
    pictures, skipped = [], []
    for item in find([path]):
        if isinstance(item, NotListed):
            skipped.append(Failure(item.path, item.reason))
        else:
            pictures.append(item)
    labels = np.array([p.name.split("/")[0] if "/" in p.name else "" for p in pictures], np.str_)
    if not (labels != "").any():
        raise SourceError(
            f"{to_text(path)}: holds no folders of pictures; put the pictures of each label into a folder of that "
            "name, or give a table of path,label,role"
        )
    return _each_against_the_rest(_name(path), "folders", pictures, labels, {}, skipped)


def _each_against_the_rest(
    name: str,
    kind: str,
    pictures: Sequence[SourceFile],
    labels: Names,
    columns: Mapping[str, Names],
    skipped: Sequence[Failure],
) -> Truth:
    rows = np.arange(len(pictures))
    return Truth(
        name=name,
        kind=kind,
        pictures=tuple(pictures),
        queries=rows,
        query_labels=labels,
        gallery=rows,
        gallery_labels=labels,
        columns=columns,
        skipped=tuple(skipped),
    )


# --- tables


class _Pictures:
    """The pictures that a table names, each once, and what could not be found."""

    def __init__(self, table: TextTable, columns: Sequence[str], root: str | None) -> None:
        cells = list(dict.fromkeys(row[column] for row in table.rows for column in columns if row[column]))
        paths = [table.file(cell) for cell in cells]
        self._table = table
        self._paths = dict(zip(cells, moved(paths, root) if root and paths else paths, strict=True))
        self._rows: dict[str, int | None] = {}
        self.found: list[SourceFile] = []
        self.skipped: list[Failure] = []

    def row(self, cell: str) -> int | None:
        """The row of the picture that a cell names, None where there is no such file."""
        if cell not in self._rows:
            self._rows[cell] = self._look(cell)
        return self._rows[cell]

    def _look(self, cell: str) -> int | None:
        found = _file(self._paths[cell]) if cell else NotListed("", "a row names no file")
        if isinstance(found, NotListed):
            self.skipped.append(Failure(found.path, found.reason))
            return None
        self.found.append(found)
        return len(self.found) - 1

    def check(self) -> None:
        if not self.found:
            first = f" ({self.skipped[0].path}: {self.skipped[0].reason})" if self.skipped else ""
            raise SourceError(
                f"{to_text(self._table.path)}: not one of its pictures is there{first}; paths are relative to the "
                "table's own folder: was it moved? Then say where the pictures are now: --root FOLDER"
            )


def _file(path: str) -> SourceFile | NotListed:
    """The file at a path; of a member of an archive ("a.zip!/x.jpg") the size and time are the archive's."""
    archive, mark, _ = path.partition("!/")
    found = source_file(archive if mark else path, os.path.dirname(path))
    return replace(found, path=to_text(path)) if mark and isinstance(found, SourceFile) else found


def _table(table: TextTable, root: str | None) -> Truth:
    path, label = table.column(*PATH_COLUMNS), table.column(*LABEL_COLUMNS)
    role, part = table.column("role"), table.column("part")
    if path is None or label is None:
        raise SourceError(
            f"{to_text(table.path)}: its columns are {', '.join(table.columns)}; path,label,role or path,label,part or "
            "path,label or a,b,same is wanted"
        )
    rows = [row for row in table.rows if part is None or row[part].lower() == "test"]
    if part is not None and not rows:
        raise SourceError(f"{to_text(table.path)}: no row's part is 'test'; give some pictures to that part")
    pictures = _Pictures(table, (path,), root)
    placed = [(place, row) for row in rows if (place := pictures.row(row[path])) is not None]
    pictures.check()
    others = [column for column in table.columns if column not in (path, label, role, part)]
    if role is None:
        return _unroled(table, pictures, placed, label=label, others=others)
    asked = [(place, row) for place, row in placed if _role(table, row[role]) == "query"]
    known = [(place, row) for place, row in placed if _role(table, row[role]) == "gallery"]
    if not asked or not known:
        raise SourceError(
            f"{to_text(table.path)}: {len(asked)} queries and {len(known)} gallery pictures; both roles are needed"
        )
    return Truth(
        name=_name(table.path),
        kind="table",
        pictures=tuple(pictures.found),
        queries=np.array([place for place, _ in asked]),
        query_labels=np.array([row[label] for _, row in asked], np.str_),
        gallery=np.array([place for place, _ in known]),
        gallery_labels=np.array([row[label] for _, row in known], np.str_),
        columns={name: np.array([row[name] for _, row in asked], np.str_) for name in others},
        skipped=tuple(pictures.skipped),
    )


def _unroled(
    table: TextTable,
    pictures: _Pictures,
    placed: Sequence[tuple[int, Mapping[str, str]]],
    *,
    label: str,
    others: Sequence[str],
) -> Truth:
    """Each picture against the rest; one that is named twice counts once, as the last row says."""
    last = dict(placed)
    rows = [last[place] for place in range(len(pictures.found))]
    return _each_against_the_rest(
        _name(table.path),
        "split" if table.column("part") else "table",
        pictures.found,
        np.array([row[label] for row in rows], np.str_),
        {name: np.array([row[name] for row in rows], np.str_) for name in others},
        pictures.skipped,
    )


def _role(table: TextTable, cell: str) -> str:
    role = cell.lower()
    if role not in ("query", "gallery"):
        raise SourceError(f"{to_text(table.path)}: a row's role is {cell!r}; query or gallery is wanted")
    return role


# --- pairs


def _pairs(table: TextTable, root: str | None) -> Truth:
    same, a, b = table.column("same"), table.column("a"), table.column("b")
    if same is None or a is None or b is None:
        raise SourceError(
            f"{to_text(table.path)}: pairs need the columns a, b and same (its: {', '.join(table.columns)})"
        )
    pictures = _Pictures(table, (a, b), root)
    placed = [(pictures.row(row[a]), pictures.row(row[b]), row) for row in table.rows]
    kept = [(one, other, row) for one, other, row in placed if one is not None and other is not None]
    pictures.check()
    return Truth(
        name=_name(table.path),
        kind="pairs",
        pictures=tuple(pictures.found),
        first=np.array([one for one, _, _ in kept], np.int64),
        second=np.array([other for _, other, _ in kept], np.int64),
        same=np.array([_is_same(table, row[same]) for _, _, row in kept], np.bool_),
        columns={
            name: np.array([row[name] for _, _, row in kept], np.str_)
            for name in table.columns
            if name not in (a, b, same)
        },
        skipped=tuple(pictures.skipped),
    )


def _is_same(table: TextTable, cell: str) -> bool:
    if cell.lower() not in _SAME:
        raise SourceError(f"{to_text(table.path)}: a pair's same is {cell!r}; 1 or 0 is wanted")
    return _SAME[cell.lower()]
