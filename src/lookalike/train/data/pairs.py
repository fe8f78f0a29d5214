"""Labels from a file of pairs: same pairs are grouped, different pairs are returned."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lookalike.errors import SourceError, nearest
from lookalike.image.sources.tables import read_table
from lookalike.train.split import connected_components

_TRUE, _FALSE = ("1", "true", "yes", "same"), ("0", "false", "no", "different")
_SAME = ("same", "label", "match")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairLabels:
    """`labels`: one per path of the split, "" if no pair names it. `partners`: rows known to differ, by row."""

    labels: list[str]
    partners: dict[int, list[int]]
    pairs: int


def read_pairs(file: Path, paths: Sequence[str]) -> PairLabels:
    """Read a .csv, .tsv or .parquet file with two columns of paths and optionally `same` (1 or 0; by default 1).

    A path is absolute, relative to the file, or a unique file name of the split. "Same" is transitive: a = b and b = c
    imply a = c. Raises SourceError for files that the split does not have and for contradictions.
    """
    rows = _read(file)
    known = _Names(file, paths)
    pairs = [(known.row(a), known.row(b), same) for a, b, same in rows]
    if known.unknown:
        near = nearest(os.path.basename(known.unknown[0]), map(os.path.basename, paths))
        raise SourceError(
            f"{file} names {len(known.unknown):,} files that the split does not have; the first is "
            f"{known.unknown[0]} ({near}). Make the split from the folder that holds them"
        )
    ties = connected_components(len(paths), [(a, b) for a, b, same in pairs if same])
    partners: dict[int, list[int]] = {}
    for a, b, same in pairs:
        if not same:
            if ties[a] == ties[b]:
                raise SourceError(
                    f"{file} says that {paths[a]} and {paths[b]} differ, but other pairs equate them; correct one"
                )
            partners.setdefault(a, []).append(b)
            partners.setdefault(b, []).append(a)
    named = {row for a, b, _ in pairs for row in (a, b)}
    labels = [f"group {ties[row]}" if row in named else "" for row in range(len(paths))]
    return PairLabels(labels=labels, partners=partners, pairs=len(pairs))


class _Names:
    """Maps a path of the file to the split's row."""

    def __init__(self, file: Path, paths: Sequence[str]) -> None:
        self.folder, self.unknown = os.path.abspath(file.parent), list[str]()
        self.by_path = {path: row for row, path in enumerate(paths)}
        names = [os.path.basename(path) for path in paths]
        self.by_name = {name: row for row, name in enumerate(names)}
        self.ambiguous = {name for name, count in Counter(names).items() if count > 1}

    def row(self, written: str) -> int:
        path = os.path.normpath(os.path.join(self.folder, written))
        if path in self.by_path:
            return self.by_path[path]
        if written in self.by_name and written not in self.ambiguous:
            return self.by_name[written]
        self.unknown.append(written)
        return 0


def _read(file: Path) -> list[tuple[str, str, bool]]:
    table = read_table(str(file))
    same = table.column(*_SAME)
    sides = [column for column in table.columns if column != same][:2]
    if len(sides) < 2:
        raise SourceError(f"{file} has no pairs; it needs the columns a, b and optionally same (1 or 0)")
    return [
        (row[sides[0]], row[sides[1]], _same(row[same], file, n) if same else True)
        for n, row in enumerate(table.rows, 2)
    ]


def _same(text: str, file: Path, line: int) -> bool:
    word = text.lower()
    if word not in _TRUE + _FALSE:
        raise SourceError(f"{file}, line {line}: {text!r} is neither 1 (the same) nor 0 (different)")
    return word in _TRUE
