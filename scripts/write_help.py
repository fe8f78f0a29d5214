"""Paste `lookalike VERB --help` of every verb into docs/cli.md; a test compares, so that a stale page is red."""

import sys
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from lookalike.cli.main import app

TARGET = Path(__file__).parent.parent / "docs" / "cli.md"


def page() -> str:
    """The page as it should be, at a width of 100 characters."""
    group = typer.main.get_command(app)
    names = ["", *verbs(group)]
    parts = ["# The command line\n\nWritten by `python scripts/write_help.py`.\n"]
    return "\n".join(parts + [f"## lookalike {name}".rstrip() + f"\n\n```\n{help_of(name)}\n```\n" for name in names])


def verbs(group: Any, before: str = "") -> list[str]:
    """The names of all verbs of a group, in order: "split", "train", "train similarity"."""
    names = []
    for name, command in sorted(getattr(group, "commands", {}).items()):
        names += [f"{before}{name}", *verbs(command, f"{before}{name} ")]
    return names


def help_of(verb: str) -> str:
    runner = CliRunner(env={"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"})
    asked = [*verb.split(), "--help"]
    result = runner.invoke(app, asked, prog_name="lookalike", terminal_width=100, max_content_width=100)
    return "\n".join(line.rstrip() for line in result.output.strip().splitlines())


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"written: {TARGET}\n")
