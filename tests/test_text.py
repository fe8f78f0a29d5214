"""Text for people: names of files must not control a terminal."""

import pytest

from lookalike.text import printable


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
