"""Kept queries: what other workers do to their folder meanwhile costs nobody theirs."""

from pathlib import Path

import numpy as np
import pytest

from lookalike.server.uploads.saved_queries import Queries

VECTOR = np.ones(3, np.float32)


def test_a_file_that_another_worker_takes_away_costs_no_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = Queries(str(tmp_path / "queries"), 60, b"key")
    listed = [tmp_path / "queries" / "gone.new"]
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(listed))
    kept = queries.keep(b"a picture", VECTOR, {"width": 4})
    assert queries.get(kept.token).facts == {"width": 4}
    assert queries.data(kept.token) == b"a picture"


def test_what_is_too_old_goes_when_the_next_comes(tmp_path: Path) -> None:
    old = Queries(str(tmp_path / "queries"), -1, b"key")
    kept = old.keep(b"a picture", VECTOR, {})
    Queries(str(tmp_path / "queries"), -1, b"key").keep(b"another", VECTOR, {})
    assert kept.token.removeprefix("query:") not in {p.stem for p in (tmp_path / "queries").iterdir()}
