"""Format counts, lists, probabilities, sizes and times as text."""

import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

_MAX_EXAMPLES = 3


def counted(count: int, noun: str) -> str:
    """Return a number and its noun: "1 image", "2,000 images"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def examples_text(names: Sequence[str]) -> str:
    """Return the first names of a list: "a, b, c, ..."; the dots only if there are more."""
    return ", ".join(names[:_MAX_EXAMPLES]) + (", ..." if len(names) > _MAX_EXAMPLES else "")


def percent(share: float, digits: int = 1) -> str:
    """Return a share, a probability or a factor as a percentage: "94.0%". One below 1 is never rounded up to 100%."""
    if share == 1:
        return "100%"
    below = min(share, 1 - 10 ** -(digits + 2)) if share < 1 else share
    return f"{100 * below:.{digits}f}%"


def bytes_text(count: int) -> str:
    """Return a number of bytes with its unit: "1.2 MB"."""
    for unit, each in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= each:
            return f"{count / each:.1f} {unit}"
    return f"{count} bytes"


_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str, *, newlines: bool = False) -> str:
    """Return text with control characters as escapes: a file name must not color, move or reverse a terminal's text.

    `newlines`: keep line breaks.
    """
    text = _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
    return text if newlines else text.replace("\n", "\\n")


def now() -> str:
    """Return the current time in UTC as ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def expanded(path: str | Path) -> Path:
    """Return a path with the home folder for "~"; that of a user who does not exist stays as it is."""
    return Path(os.path.expanduser(path))
