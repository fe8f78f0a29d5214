"""Text for people: names of files must not control a terminal; percentages look alike."""

import re
from pathlib import Path

import pytest

from lookalike.text import percent, printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31mred.jpg", "\\x1b[31mred.jpg"),
        ("a\rb\tc\x07", "a\\rb\\tc\\x07"),
        ("photo\u202egpj.exe", "photo\\u202egpj.exe"),
        ("two\nlines", "two\\nlines"),
        ("Übergröße – 日本語 \U0001f600.jpg", "Übergröße – 日本語 \U0001f600.jpg"),
    ],
)
def test_control_characters_are_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_line_breaks_of_a_message_are_kept() -> None:
    assert printable("first\nsecond\x1b", newlines=True) == "first\nsecond\\x1b"


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (0.94, 1, "94.0%"), (0, 1, "0.0%"), (1, 1, "100%"), (0.99999, 1, "99.9%"), (0.5, 0, "50%"), (0.999, 0, "99%"),
        (1.4, 0, "140%"), (0.0194, 1, "1.9%"),
    ],
)  # fmt: skip
def test_percentages_are_written_in_one_way(share: float, digits: int, text: str) -> None:
    assert percent(share, digits) == text


# "94.0 %", f"{share:.1%}", f"{100 * share:.0f}%", `${Math.round(100 * share)}%`
OTHER_WAYS = re.compile(r"[\d}] %|:\.\d%}|[fg]}%|Math\.round\(100 \* \w[^)]*\)} ?%")


def test_no_other_code_writes_percentages() -> None:
    source = Path(__file__).parents[1] / "src/lookalike"
    files = [path for kind in ("py", "js", "html") for path in source.rglob(f"*.{kind}")]
    lines = [(path, line) for path in files for line in path.read_text("utf-8").splitlines()]
    wrong = [f"{path.name}: {line.strip()}" for path, line in lines if OTHER_WAYS.search(line)]
    assert wrong == ['text.py: return f"{100 * below:.{digits}f}%"']
