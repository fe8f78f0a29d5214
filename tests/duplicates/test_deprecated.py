"""Old names of the public API still work, with a DeprecationWarning."""

import json
from pathlib import Path
from typing import Any

import pytest

from lookalike.duplicates import ApplyResult, Duplicates, SkippedFile, UndoResult, undo
from lookalike.duplicates.files.journal import Journal, new_header
from lookalike.types import Extra

SKIPPED = SkippedFile("a.jpg", "is locked")


@pytest.mark.parametrize(
    ("result", "old", "new"),
    [
        (ApplyResult(skipped=[SKIPPED]), "left", "skipped"),
        (UndoResult(skipped=[SKIPPED]), "left", "skipped"),
        (UndoResult(already_present=["a.jpg"]), "there", "already_present"),
        (UndoResult(previously_restored=3), "already", "previously_restored"),
        (Duplicates(groups=(), truncated=2), "cut", "truncated"),
        (
            Extra(
                id="a", score=1, relation="copy", probability=1, words="", reason="", blocked_reason="is in an archive"
            ),
            "left",
            "blocked_reason",
        ),
    ],
)
def test_an_old_attribute_is_an_alias(result: Any, old: str, new: str) -> None:
    assert getattr(result, new)
    with pytest.warns(DeprecationWarning, match=new):
        assert getattr(result, old) == getattr(result, new)


def test_undo_accepts_the_old_name_of_force(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal.create(path, new_header("trash", ""), []):
        pass
    path.write_text(json.dumps(json.loads(path.read_text()) | {"machine": "another"}) + "\n")
    with pytest.warns(DeprecationWarning, match="force"):
        assert undo(path, anyway=True) == UndoResult()
