"""Running the command line inside the test's process."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Cli = Callable[..., Ran]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """cli("search", "x.png"): exit status, stdout, stderr. The default collection is the test's own."""
    from lookalike.cli.main import run

    monkeypatch.setenv("LOOKALIKE_COLLECTION", str(tmp_path / "collection"))

    def _cli(*args: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["lookalike", *map(str, args)])
        capfd.readouterr()
        code = 0
        try:
            run()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return _cli
