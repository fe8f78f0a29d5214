"""Format counts, lists, probabilities, sizes and times as text."""

from collections.abc import Sequence
from datetime import UTC, datetime

_MAX_EXAMPLES = 3


def counted(count: int, noun: str) -> str:
    """Return a number and its noun: "1 image", "2,000 images"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def examples_text(names: Sequence[str]) -> str:
    """Return the first names of a list: "a, b, c, ..."; the dots only if there are more."""
    return ", ".join(names[:_MAX_EXAMPLES]) + (", ..." if len(names) > _MAX_EXAMPLES else "")


def percent(probability: float) -> str:
    """Return a probability as a percentage, never rounded up to 100 %."""
    return "100 %" if probability >= 1 else f"{min(probability, 0.999) * 100:.1f} %"


def bytes_text(count: int) -> str:
    """Return a number of bytes with its unit: "1.2 MB"."""
    for unit, each in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= each:
            return f"{count / each:.1f} {unit}"
    return f"{count} bytes"


def now() -> str:
    """Return the current time in UTC as ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
