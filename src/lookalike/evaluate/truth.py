"""Ground truth: which image answers which query, from a table, class folders, pairs, or a split."""

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
    """Image files and the right answers among them.

    `queries` and `gallery`: rows of `pictures`, each with a label ("": a query without an answer, a distractor). For
    pairs, `first` and `second`: rows of `pictures` that are the `same` or not. `columns`: further columns, one value
    per query or pair, to break figures down by. `kind`: "table", "folders", "pairs" or "split".
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
        """The ids of the images: their paths."""
        return np.array([picture.path for picture in self.pictures], np.str_)

    def column(self, name: str) -> Names:
        """Return one value per query or pair. Raises SourceError with the nearest names for an unknown column."""
        if name not in self.columns:
            raise SourceError(f"{self.name} has no column {name!r} to break down by; {nearest(name, self.columns)}")
        return self.columns[name]

    def without(self, bad: Sequence[int]) -> "Truth":
        """Return a copy without queries, answers and pairs of some images; `pictures` keeps its rows."""
        removed = np.isin(np.arange(len(self.pictures)), list(bad))
        queries, gallery = ~removed[self.queries], ~removed[self.gallery]
        pairs = ~(removed[self.first] | removed[self.second])
        retained = pairs if self.kind == "pairs" else queries
        return Truth(
            name=self.name,
            kind=self.kind,
            pictures=self.pictures,
            queries=self.queries[queries],
            query_labels=self.query_labels[queries],
            gallery=self.gallery[gallery],
            gallery_labels=self.gallery_labels[gallery],
            first=self.first[pairs],
            second=self.second[pairs],
            same=self.same[pairs],
            columns={name: values[retained] for name, values in self.columns.items()},
            skipped=self.skipped,
        )


def read_truth(source: str | Path, *, root: str | Path | None = None) -> Truth:
    """Read ground truth from a folder or a .csv, .tsv or .parquet table. Paths in a table are relative to its folder.

    Columns: path, label, role (query or gallery): queries against the gallery; path, label, part (train, val, test): a
    split, whose test part is used, each image against the rest; path, label: each against the rest; a, b, same: pairs.
    A folder with a ground_truth.csv is read from that; else its subfolders are the labels. `root`: where the images of
    a table are now, if they were moved. Raises SourceError.
    """
    path = os.path.abspath(os.path.expanduser(os.fspath(source)))
    if os.path.isdir(path):
        table = next(
            (os.path.join(path, name) for name in TRUTH_FILES if os.path.exists(os.path.join(path, name))), None
        )
        if table is None and root is not None:
            raise SourceError(f"{to_text(path)}: a root is for the paths of a table, not for a folder; leave it out")
        return _folders(path) if table is None else read_truth(table, root=root)
    if not os.path.exists(path):
        raise SourceError(f"{to_text(path)}: no such file or folder; check the spelling and that the drive is there")
    table_read = read_table(path)
    root_path = None if root is None else os.path.abspath(os.path.expanduser(os.fspath(root)))
    return _pairs(table_read, root_path) if table_read.column("same") else _table(table_read, root_path)


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
            f"{to_text(path)}: holds no folders of images; put the images of each label into a folder of that "
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


class _TableImages:
    """The image files that a table names, each once, and those that could not be read."""

    def __init__(self, table: TextTable, columns: Sequence[str], root: str | None) -> None:
        cells = list(dict.fromkeys(row[column] for row in table.rows for column in columns if row[column]))
        paths = [table.file(cell) for cell in cells]
        self._table = table
        self._paths = dict(zip(cells, moved(paths, root) if root and paths else paths, strict=True))
        self._rows: dict[str, int | None] = {}
        self.files: list[SourceFile] = []
        self.skipped: list[Failure] = []

    def row(self, cell: str) -> int | None:
        """Return the row of the image that a cell names, None if there is no such file."""
        if cell not in self._rows:
            self._rows[cell] = self._add(cell)
        return self._rows[cell]

    def _add(self, cell: str) -> int | None:
        file = _file(self._paths[cell]) if cell else NotListed("", "a row names no file")
        if isinstance(file, NotListed):
            self.skipped.append(Failure(file.path, file.reason))
            return None
        self.files.append(file)
        return len(self.files) - 1

    def check(self) -> None:
        """Raise SourceError if no file was found."""
        if not self.files:
            first = f" ({self.skipped[0].path}: {self.skipped[0].reason})" if self.skipped else ""
            raise SourceError(
                f"{to_text(self._table.path)}: none of its images exists{first}; paths are relative to the "
                "table's folder; if the images were moved, name their folder with --root FOLDER"
            )


def _file(path: str) -> SourceFile | NotListed:
    """The file at a path; a member of an archive ("a.zip!/x.jpg") has the size and time of the archive."""
    archive, mark, _ = path.partition("!/")
    file = source_file(archive if mark else path, os.path.dirname(path))
    return replace(file, path=to_text(path)) if mark and isinstance(file, SourceFile) else file


def _table(table: TextTable, root: str | None) -> Truth:
    path, label = table.column(*PATH_COLUMNS), table.column(*LABEL_COLUMNS)
    role, part = table.column("role"), table.column("part")
    if path is None or label is None:
        raise SourceError(
            f"{to_text(table.path)}: its columns are {', '.join(table.columns)}; use path,label,role or "
            "path,label,part or path,label or a,b,same"
        )
    rows = [row for row in table.rows if part is None or row[part].lower() == "test"]
    if part is not None and not rows:
        raise SourceError(f"{to_text(table.path)}: no row's part is 'test'; assign some images to that part")
    images = _TableImages(table, (path,), root)
    located = [(index, row) for row in rows if (index := images.row(row[path])) is not None]
    images.check()
    others = [column for column in table.columns if column not in (path, label, role, part)]
    if role is None:
        return _without_roles(table, images, located, label=label, others=others)
    queries = [(index, row) for index, row in located if _role(table, row[role]) == "query"]
    gallery = [(index, row) for index, row in located if _role(table, row[role]) == "gallery"]
    if not queries or not gallery:
        raise SourceError(
            f"{to_text(table.path)}: {len(queries)} queries and {len(gallery)} gallery images; give rows of both roles"
        )
    return Truth(
        name=_name(table.path),
        kind="table",
        pictures=tuple(images.files),
        queries=np.array([index for index, _ in queries]),
        query_labels=np.array([row[label] for _, row in queries], np.str_),
        gallery=np.array([index for index, _ in gallery]),
        gallery_labels=np.array([row[label] for _, row in gallery], np.str_),
        columns={name: np.array([row[name] for _, row in queries], np.str_) for name in others},
        skipped=tuple(images.skipped),
    )


def _without_roles(
    table: TextTable,
    images: _TableImages,
    located: Sequence[tuple[int, Mapping[str, str]]],
    *,
    label: str,
    others: Sequence[str],
) -> Truth:
    """Each image against the rest; an image in several rows counts once, with its last row."""
    last = dict(located)
    rows = [last[index] for index in range(len(images.files))]
    return _each_against_the_rest(
        _name(table.path),
        "split" if table.column("part") else "table",
        images.files,
        np.array([row[label] for row in rows], np.str_),
        {name: np.array([row[name] for row in rows], np.str_) for name in others},
        images.skipped,
    )


def _role(table: TextTable, cell: str) -> str:
    role = cell.lower()
    if role not in ("query", "gallery"):
        raise SourceError(f"{to_text(table.path)}: a row's role is {cell!r}; use query or gallery")
    return role


# --- pairs


def _pairs(table: TextTable, root: str | None) -> Truth:
    same, a, b = table.column("same"), table.column("a"), table.column("b")
    if same is None or a is None or b is None:
        raise SourceError(
            f"{to_text(table.path)}: pairs need the columns a, b and same; it has {', '.join(table.columns)}"
        )
    images = _TableImages(table, (a, b), root)
    located = [(images.row(row[a]), images.row(row[b]), row) for row in table.rows]
    pairs = [(one, other, row) for one, other, row in located if one is not None and other is not None]
    images.check()
    return Truth(
        name=_name(table.path),
        kind="pairs",
        pictures=tuple(images.files),
        first=np.array([one for one, _, _ in pairs], np.int64),
        second=np.array([other for _, other, _ in pairs], np.int64),
        same=np.array([_is_same(table, row[same]) for _, _, row in pairs], np.bool_),
        columns={
            name: np.array([row[name] for _, _, row in pairs], np.str_)
            for name in table.columns
            if name not in (a, b, same)
        },
        skipped=tuple(images.skipped),
    )


def _is_same(table: TextTable, cell: str) -> bool:
    if cell.lower() not in _SAME:
        raise SourceError(f"{to_text(table.path)}: a pair's same is {cell!r}; use 1 or 0")
    return _SAME[cell.lower()]
