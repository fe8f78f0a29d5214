"""stdout is data, stderr is talk and progress."""

import json
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self


def print_json(values: Mapping[str, Any]) -> None:
    """One JSON object on one line of stdout."""
    sys.stdout.write(json.dumps(values, ensure_ascii=False) + "\n")


def print_row(line: str) -> None:
    """One line of data for a person on stdout; line breaks in names are written out."""
    sys.stdout.write(line.replace("\n", "\\n").replace("\r", "\\r") + "\n")


def log(line: str) -> None:
    """One line of talk on stderr."""
    sys.stdout.flush()
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


class ProgressLine:
    """Done, rate and time left: a bar on a terminal, a line every half minute elsewhere."""

    def __init__(self, noun: str) -> None:
        self._noun, self._begun, self._told = noun, time.monotonic(), time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __call__(self, done: int, total: int) -> None:
        if sys.stderr.isatty():
            self._draw(done, total)
        elif time.monotonic() - self._told > 30:
            self._told = time.monotonic()
            rate = done / max(self._told - self._begun, 1e-9)
            left = (total - done) / max(rate, 1e-9) / 60
            log(f"{done:,} of {total:,} {self._noun}, {rate:.0f} a second, {left:.1f} minutes left")

    def _draw(self, done: int, total: int) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn(self._noun),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task("", total=total, rate="")
        rate = done / max(time.monotonic() - self._begun, 1e-9)
        self._bar.update(self._task, completed=done, total=total, rate=f"{rate:.0f}/s")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
