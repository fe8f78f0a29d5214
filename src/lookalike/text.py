"""Small things that go into sentences: counts, shares, times."""

from datetime import UTC, datetime


def counted(count: int, noun: str) -> str:
    """A number and its noun: "1 picture", "2,000 pictures"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def percent(probability: float) -> str:
    """A probability for people, never rounded up to certainty."""
    return "100 %" if probability >= 1 else f"{min(probability, 0.999) * 100:.1f} %"


def bytes_text(count: int) -> str:
    """A number of bytes: "1.2 MB"."""
    for unit, each in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= each:
            return f"{count / each:.1f} {unit}"
    return f"{count} bytes"


def now() -> str:
    """The current time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
