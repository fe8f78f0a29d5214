"""A trash folder for tests."""

import sys
from pathlib import Path

import pytest


@pytest.fixture
def trash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where trashed files go: a home of the test's own, on the test's disk."""
    if sys.platform in ("darwin", "win32"):
        pytest.skip("the trash of this system is the user's own")
    from send2trash import plat_other

    home = tmp_path / "home"
    data = home / ".local/share"
    data.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_DATA_HOME", str(data))
    monkeypatch.setattr(plat_other, "XDG_DATA_HOME", bytes(data))
    monkeypatch.setattr(plat_other, "HOMETRASH_B", bytes(data / "Trash"))
    monkeypatch.setattr("send2trash.send2trash", plat_other.send2trash)
    return data / "Trash"
