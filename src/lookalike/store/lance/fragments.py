"""Rows that one process writes and another commits: files of a Lance data set (fragments), and their description."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lookalike.store.lance.engine import load_lance

load_lance()
from lance import LanceDataset, LanceOperation  # noqa: E402
from lance import fragment as lance_fragment  # noqa: E402

DELETED_AT_ONCE = 10_000  # rows in one condition


def write_fragments(dataset: LanceDataset, table: Any, options: Mapping[str, str] | None) -> str:
    """Write a table with the columns of the data set. Returns the description of its files, as JSON."""
    files = lance_fragment.write_fragments(table, dataset.uri, schema=dataset.schema, storage_options=options)
    return json.dumps([file.to_json() for file in files])


def fits(dataset: LanceDataset, description: str) -> bool:
    """Return whether the data set still has all columns of some files: a column that was widened is another one."""
    known = {field.id() for field in dataset.lance_schema.fields()}
    return all(set(file["fields"]) <= known for part in json.loads(description) for file in part["files"])


def read_fragments(uri: str, description: str, options: Mapping[str, str] | None) -> list[Any]:
    """Return the rows of files that are not committed, a table for each."""
    from lance.file import LanceFileReader

    paths = [file["path"] for part in json.loads(description) for file in part["files"]]
    readers = [LanceFileReader(f"{uri}/data/{path}", dict(options) if options else None) for path in paths]
    return [reader.read_all().to_table() for reader in readers]


class Appender:
    """Appends files that were written elsewhere, and leaves out rows whose key others have added since it was made.

    Make one before the rows to append are planned. Of two processes that append a row of the same key, the one whose
    commit comes second deletes its own; for a moment, readers see both.
    """

    def __init__(self, dataset: LanceDataset, key: str) -> None:
        self._key, self._version = key, int(dataset.version)
        self._known = {fragment.fragment_id for fragment in dataset.get_fragments()}  # their rows were there before
        self._keys_of_others: set[str] = set()
        self._committed: set[str] = set()  # names of files
        self._unchecked: set[str] = set()  # of these, whose rows were not compared with those of others yet

    def commit(self, before: LanceDataset, descriptions: Sequence[str], options: Mapping[str, str] | None) -> None:
        """Append files to the data set in one commit. After an error, the same call goes on where it was."""
        parts = [json.dumps(part) for text in descriptions for part in json.loads(text)]
        files = [lance_fragment.FragmentMetadata.from_json(part) for part in parts]
        files = [file for file in files if not _paths(file) <= self._committed]
        after = before
        if files:
            operation = LanceOperation.Append(files)
            after = LanceDataset.commit(before.uri, operation, before.version, storage_options=options)
            names = set().union(*map(_paths, files))
            self._committed |= names
            self._unchecked |= names
        if self._unchecked:
            self._remove_repeated(after)
            self._unchecked.clear()

    def _remove_repeated(self, dataset: LanceDataset) -> None:
        """Delete those of the rows committed last that others have added as well."""
        self._note_merged(dataset)
        own: list[Any] = []
        others: list[Any] = []
        names: set[str] = set()
        for fragment in dataset.get_fragments():
            if fragment.fragment_id not in self._known:
                paths = _paths(fragment.metadata)
                # Where an answer was lost, Lance repeats the commit: what is there twice counts as another's.
                (own if paths <= self._unchecked and not paths & names else others).append(fragment)
                names |= paths
        if others:
            keys = dataset.scanner(columns=[self._key], fragments=others).to_table()[self._key]
            self._keys_of_others.update(keys.to_pylist())
        if own and self._keys_of_others:
            table = dataset.scanner(columns=[self._key], fragments=own, with_row_id=True).to_table()
            rows = zip(table[self._key].to_pylist(), table["_rowid"].to_pylist(), strict=True)
            _delete_rows(dataset, [row for name, row in rows if name in self._keys_of_others])
        self._known.update(fragment.fragment_id for fragment in (*own, *others))

    def _note_merged(self, dataset: LanceDataset) -> None:
        """Fragments that were made of known ones, by a merge of small files, are known."""
        for version in range(self._version + 1, int(dataset.version) + 1):
            try:
                transaction = dataset.read_transaction(version)
            except (OSError, ValueError):  # an old version that was deleted meanwhile: what it merged counts as new
                continue
            for group in getattr(getattr(transaction, "operation", None), "groups", ()):
                if {fragment.id for fragment in group.old_fragments} <= self._known:
                    self._known.update(fragment.id for fragment in group.new_fragments)
        self._version = int(dataset.version)


def remove_repeated(dataset: LanceDataset, key: str) -> int:
    """Delete all rows but one of each key. Returns their number."""
    table = dataset.to_table(columns=[key], with_row_id=True)
    _, first = np.unique(table[key].to_numpy(zero_copy_only=False), return_index=True)
    return _delete_rows(dataset, np.delete(table["_rowid"].to_numpy(), first).tolist())


def _paths(fragment: Any) -> set[str]:
    return {file.path for file in fragment.files}


def _delete_rows(dataset: LanceDataset, rows: Sequence[int]) -> int:
    for start in range(0, len(rows), DELETED_AT_ONCE):
        dataset.delete(f"_rowid IN ({', '.join(map(str, rows[start : start + DELETED_AT_ONCE]))})")
    return len(rows)
