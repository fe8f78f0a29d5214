"""Text in figures: installed fonts, and shortening or wrapping by measured width."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

_NAME_LENGTH = 26
_DPI = 110


@cache
def fonts() -> Sequence[str]:
    """DejaVu first, then the installed ones of these fonts, for names in other scripts."""
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    candidates = (
        "Noto Sans CJK JP",
        "Noto Sans CJK SC",
        "WenQuanYi Zen Hei",
        "Hiragino Sans",
        "Microsoft YaHei",
        "Noto Sans",
    )
    return ["DejaVu Sans", *(name for name in candidates if name in installed)]


def legible(text: str) -> str:
    """Return the text on one line; letters that no installed font has are escaped (\\u622a) instead of empty boxes."""
    return "".join(_letters(text))


def shorten(name: str, length: int = _NAME_LENGTH) -> str:
    """Return a name on one line: control characters escaped, the middle left out if it is too long."""
    letters = _letters(name)
    if sum(map(len, letters)) <= length:
        return "".join(letters)
    tail = _first(letters[::-1], min(10, length // 2))[::-1]
    head = _first(letters, length - sum(map(len, tail)) - 1)
    return f"{''.join(head)}…{''.join(tail)}"


def fitted(name: str, inches: float, size: float, *, weight: str = "normal") -> str:
    """Return a name on one line no wider than `inches` at `size` points; the middle is left out if necessary."""
    length = len(legible(name))
    while True:
        shown = shorten(name, length)
        wide = _width(shown, size, weight)
        if wide <= inches or length <= 3:
            return shown
        length = min(length - 1, max(3, int(length * inches / wide)))


def wrapped(text: str, inches: float, size: float, *, most: int) -> list[str]:
    """Return the text in at most `most` lines no wider than `inches`; the last line is cut if there is more."""
    lines: list[str] = []
    words = legible(text).split(" ")
    while words:
        if len(lines) == most - 1:
            return [*lines, fitted(" ".join(words), inches, size)]
        count = 1
        while count < len(words) and _width(" ".join(words[: count + 1]), size, "normal") <= inches:
            count += 1
        lines.append(fitted(" ".join(words[:count]), inches, size))
        words = words[count:]
    return lines


def _letters(text: str) -> list[str]:
    """Each letter as it can be shown, so that an escape is not cut in two."""
    known = _known()
    return [c if c.isprintable() and ord(c) in known else _escaped(c) for c in text]


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape", "backslashreplace").decode()


def _first(letters: Iterable[str], length: int) -> list[str]:
    fitting: list[str] = []
    for letter in letters:
        length -= len(letter)
        if length < 0:
            break
        fitting.append(letter)
    return fitting


@cache
def _known() -> frozenset[int]:
    """The letters that an installed font has."""
    from matplotlib import font_manager

    faces = (font_manager.get_font(font_manager.findfont(name)) for name in fonts())
    return frozenset(code for face in faces for code in face.get_charmap())


def _width(text: str, size: float, weight: str) -> float:
    """The width of one line in inches."""
    from matplotlib.font_manager import FontProperties

    properties = FontProperties(family=fonts(), size=size, weight=weight)
    wide, _, _ = _renderer().get_text_width_height_descent(text, properties, ismath=False)
    return float(wide) / _DPI


@cache
def _renderer() -> Any:
    from matplotlib.backends.backend_agg import RendererAgg

    return RendererAgg(1, 1, _DPI)
