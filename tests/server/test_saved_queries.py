"""Saved queries: concurrent changes of their folder by other workers lose no query."""

from pathlib import Path

import numpy as np
import pytest

from lookalike.server.uploads.saved_queries import SavedQueries

VECTOR = np.ones(3, np.float32)


def test_a_file_removed_by_another_worker_loses_no_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = SavedQueries(str(tmp_path / "queries"), 60, b"key")
    listed = [tmp_path / "queries" / "gone.new"]
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(listed))
    saved = queries.save(b"an image", VECTOR, {"width": 4})
    assert queries.get(saved.token).facts == {"width": 4}
    assert queries.data(saved.token) == b"an image"


def test_expired_queries_are_removed_by_the_next_save(tmp_path: Path) -> None:
    old = SavedQueries(str(tmp_path / "queries"), -1, b"key")
    saved = old.save(b"an image", VECTOR, {})
    SavedQueries(str(tmp_path / "queries"), -1, b"key").save(b"another", VECTOR, {})
    assert saved.token.removeprefix("query:") not in {p.stem for p in (tmp_path / "queries").iterdir()}
