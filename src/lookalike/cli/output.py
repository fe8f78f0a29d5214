"""Output of the command line: data on stdout, messages and progress on stderr."""

import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from lookalike.text import printable


def print_json(values: Mapping[str, Any]) -> None:
    """Write one JSON object as one line to stdout."""
    sys.stdout.write(json.dumps(values, ensure_ascii=False) + "\n")


def print_row(line: str) -> None:
    """Write one line of human-readable data to stdout, with control characters in names escaped."""
    sys.stdout.write(printable(line) + "\n")


def log(line: str) -> None:
    """Write one line to stderr."""
    sys.stdout.flush()
    sys.stderr.write(printable(line, newlines=True) + "\n")
    sys.stderr.flush()


@contextmanager
def shown_messages(name: str) -> Iterator[None]:
    """Write what a part of the library logs, such as "lookalike.store", to stderr while the block runs."""
    logger, handler = logging.getLogger(name), _LogHandler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _LogHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log(record.getMessage())


def discard_output() -> None:
    """Send stdout to the null device, where nobody can read it any more: Python would raise again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class ProgressLine:
    """Show progress, rate and remaining time on stderr: a bar on a terminal, else a line every 30 seconds.

    Another total, or fewer done than before, is another stage with a rate of its own.
    """

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._started_at = self._logged_at = time.monotonic()
        self._stage = 0, 0  # done and total, at the last call
        self._bar: Any = None
        self._task: Any = None

    def __call__(self, done: int, total: int) -> None:
        if self._stage[1] not in (0, total) or done < self._stage[0]:
            self._started_at = self._logged_at = time.monotonic()
            if self._bar is not None:
                self._bar.reset(self._task, total=total, rate="")
        self._stage = done, total
        if sys.stderr.isatty():
            self._draw(done, total)
        elif time.monotonic() - self._logged_at > 30:
            self._logged_at = time.monotonic()
            rate = done / max(self._logged_at - self._started_at, 1e-9)
            minutes = (total - done) / max(rate, 1e-9) / 60
            log(f"{done:,} of {total:,} {self._noun}, {rate:.0f} a second, {minutes:.1f} minutes left")

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
        rate = done / max(time.monotonic() - self._started_at, 1e-9)
        self._bar.update(self._task, completed=done, total=total, rate=f"{rate:.0f}/s")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
