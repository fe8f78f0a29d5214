"""A store in memory: a matrix product, a dict, and SQLite for conditions. Tests compare the other stores with it."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadFilter, ReadOnly
from lookalike.schema import FAILURES
from lookalike.store import columns as cols
from lookalike.store.rank import best, exact_scores
from lookalike.store.where import condition, double_quotes
from lookalike.types import Hit, Metadata, Row, Scalar, Vectors


class MemoryTable:
    """Rows of scalars keyed by a text column, in a dict."""

    def __init__(self, key: str = "path", *, read_only: bool = False) -> None:
        self.key, self._read_only = key, read_only
        self._types: dict[str, type] = {key: str}
        self._rows: dict[str, dict[str, Scalar]] = {}
        self._version = 0

    @property
    def version(self) -> int:
        return self._version

    def put(self, rows: Sequence[Metadata]) -> None:
        _check_writable(self._read_only)
        self._types = cols.widened(self._types, rows, reserved=())
        self._version += bool(rows)
        for row in rows:
            self._rows[str(row[self.key])] = dict(row)

    def remove(self, keys: Sequence[str]) -> int:
        _check_writable(self._read_only)
        removed = sum(self._rows.pop(key, None) is not None for key in keys)
        self._version += bool(removed)
        return removed

    def all(self, columns: Sequence[str] | None = None) -> list[dict[str, Scalar]]:
        types = {name: kind for name, kind in self._types.items() if columns is None or name in (self.key, *columns)}
        return [
            {name: cols.coerce(row.get(name), kind, name) for name, kind in types.items()}
            for _, row in sorted(self._rows.items())
        ]


class MemoryStore:
    """An exact store that lives as long as the process."""

    def __init__(self, dim: int, columns: Mapping[str, type] | None = None, *, read_only: bool = False) -> None:
        self._dim = dim
        self._types = cols.check_declared(columns or {})
        self._settings: dict[str, str] = {}
        self._rows: dict[str, tuple[NDArray[np.float32], dict[str, Scalar]]] = {}
        self._tables: dict[str, MemoryTable] = {}
        self._read_only, self._version = read_only, 0

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def settings(self) -> Mapping[str, str]:
        return dict(self._settings)

    @property
    def version(self) -> int:
        return self._version

    @property
    def failures(self) -> MemoryTable:
        return self.table(FAILURES.name, FAILURES.key)

    def table(self, name: str, key: str = "path") -> MemoryTable:
        return self._tables.setdefault(name, MemoryTable(key, read_only=self._read_only))

    def columns(self) -> Mapping[str, type]:
        return dict(self._types)

    def set_settings(self, changes: Mapping[str, str]) -> None:
        self._commit()
        self._settings.update(changes)

    def add(self, ids: Sequence[str], vectors: Vectors, metadata: Sequence[Metadata]) -> None:
        cols.check_batch(self._dim, ids, vectors, metadata)
        self._commit()
        self._widen(metadata)
        for id, vector, row in zip(ids, np.array(vectors, dtype=np.float32), metadata, strict=True):
            self._rows[id] = (vector, self._fitted(row))

    def update(self, ids: Sequence[str], metadata: Sequence[Metadata]) -> None:
        self._commit()
        self._widen(metadata)
        for id, row in zip(ids, metadata, strict=True):
            if id in self._rows:
                self._rows[id][1].update(self._fitted(row))

    def drop_columns(self, names: Sequence[str]) -> int:
        self._commit()
        gone = [name for name in dict.fromkeys(names) if name in self._types]
        for name in gone:
            del self._types[name]
            for _, row in self._rows.values():
                row.pop(name, None)
        return len(gone)

    def delete(self, ids: Sequence[str]) -> int:
        self._commit()
        return sum(self._rows.pop(id, None) is not None for id in ids)

    def get(self, ids: Sequence[str], columns: Sequence[str] | None = None) -> list[Row | None]:
        names = cols.select_columns(columns, self._types)
        return [self._row(id, names) if id in self._rows else None for id in ids]

    def search(
        self,
        queries: Vectors,
        k: int,
        *,
        where: str | None = None,
        columns: Sequence[str] | None = None,
        recall: float | None = None,
    ) -> list[list[Hit]]:
        return self._nearest(cols.check_queries(self._dim, queries, k), k, -2.0, where, columns)

    def within(
        self, queries: Vectors, min_score: float, *, where: str | None = None, columns: Sequence[str] | None = None
    ) -> list[list[Hit]]:
        return self._nearest(cols.check_queries(self._dim, queries), None, min_score, where, columns)

    def scan(
        self, columns: Sequence[str], *, where: str | None = None, batch: int = 8192
    ) -> Iterator[dict[str, NDArray[Any]]]:
        names = cols.select_columns(columns, self._types, also=(cols.ID, cols.VECTOR))
        ids = self._passing(where)
        for at in range(0, len(ids), batch):
            some = ids[at : at + batch]
            yield {name: self._column(name, some) for name in names}

    def optimize(self) -> None:
        """Do nothing: the search is exact and nothing is on disk."""
        _check_writable(self._read_only)

    def __len__(self) -> int:
        return len(self._rows)

    def close(self) -> None:
        """Do nothing: no file is open."""

    def _commit(self) -> None:
        """Check that the store is writable and count a new version."""
        _check_writable(self._read_only)
        self._version += 1

    def _widen(self, metadata: Sequence[Metadata]) -> None:
        types = cols.widened(self._types, metadata)
        changed = [name for name, kind in self._types.items() if types[name] is not kind]
        self._types = types
        for name in changed:
            for _, row in self._rows.values():
                row[name] = cols.coerce(row.get(name), types[name], name)

    def _fitted(self, row: Metadata) -> dict[str, Scalar]:
        return {name: cols.coerce(value, self._types[name], name) for name, value in row.items() if name in self._types}

    def _row(self, id: str, names: Sequence[str]) -> Row:
        vector, metadata = self._rows[id]
        return Row(id, vector.copy(), {name: metadata.get(name) for name in names})

    def _nearest(
        self, queries: Vectors, k: int | None, min_score: float, where: str | None, columns: Sequence[str] | None
    ) -> list[list[Hit]]:
        names = cols.select_columns(columns, self._types)
        ids = self._passing(where)
        vectors: NDArray[np.float32] = self._column(cols.VECTOR, ids)
        answers = []
        for query in queries:
            scores = exact_scores(query, vectors)
            order = [at for at in best(scores, ids, k) if scores[at] >= min_score]
            answers.append([Hit(ids[at], float(scores[at]), self._row(ids[at], names).metadata) for at in order])
        return answers

    def _column(self, name: str, ids: Sequence[str]) -> NDArray[Any]:
        if name == cols.VECTOR:
            return np.array([self._rows[id][0] for id in ids], dtype=np.float32).reshape(len(ids), self._dim)
        if name == cols.ID:
            return cols.as_array(ids, str)
        return cols.as_array([self._rows[id][1].get(name) for id in ids], self._types[name])

    def _passing(self, where: str | None) -> list[str]:
        """Return the ids whose metadata meets the condition."""
        if where is None:
            return list(self._rows)
        known = {cols.ID: str, **self._types}
        sql = condition(where, known, double_quotes)
        database = _database()
        try:
            database.execute(f"CREATE TABLE rows ({', '.join(map(double_quotes, known))})")
            values = ([id, *(row.get(name) for name in self._types)] for id, (_, row) in self._rows.items())
            database.executemany(f"INSERT INTO rows VALUES ({', '.join('?' * len(known))})", values)  # noqa: S608
            return [id for (id,) in database.execute(f"SELECT id FROM rows WHERE {sql}")]  # noqa: S608
        except sqlite3.Error as error:
            raise BadFilter(f"The condition {where!r} cannot be evaluated: {error}.") from error
        finally:
            database.close()


def _check_writable(read_only: bool) -> None:  # noqa: FBT001
    if read_only:
        raise ReadOnly("The collection in memory was opened for reading only; open it without read_only.")


def _database() -> sqlite3.Connection:
    """Open SQLite in memory, set up to agree with Lance: LIKE is case-sensitive, lower() and upper() handle Unicode."""
    database = sqlite3.connect(":memory:")
    database.execute("PRAGMA case_sensitive_like = ON")
    database.create_function("lower", 1, lambda text: text and text.lower(), deterministic=True)
    database.create_function("upper", 1, lambda text: text and text.upper(), deterministic=True)
    return database
