"""File names as text that is always valid UTF-8, and back without loss."""

import os

_ESCAPE = (
    0xEF00 - 0xDC00
)  # a byte that is not UTF-8, 0x80..0xFF, is U+DC80..U+DCFF in Python and U+EF80..U+EFFF in text
_TO_TEXT: dict[int, int | str] = {code: code + _ESCAPE for code in range(0xDC80, 0xDD00)}
_TO_PATH = {code + _ESCAPE: code for code in range(0xDC80, 0xDD00)}
if os.name == "posix":
    # A name that really holds U+EF80..U+EFFF is escaped byte by byte, so that no two names share a text.
    _TO_TEXT |= {code: "".join(chr(0xEF00 + byte) for byte in chr(code).encode()) for code in _TO_PATH}


def to_text(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> str:
    """The text form of a path: valid UTF-8, and `to_path` gives the same file back."""
    name = os.fsdecode(path)
    return name if name.isascii() else name.translate(_TO_TEXT)


def to_path(text: str) -> str:
    """The path, as the operating system takes it, of a text form."""
    return text if text.isascii() else text.translate(_TO_PATH)
