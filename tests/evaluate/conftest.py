"""A small ground truth of coloured pictures, judged by the embedder of mean colours."""

from collections.abc import Callable
from pathlib import Path

import pytest

Table = Callable[..., Path]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """table("truth.csv", "path,label,role", "a.png,a,query", ...): a file of these lines in the folder of pictures."""

    def _table(name: str, *lines: str) -> Path:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return _table
