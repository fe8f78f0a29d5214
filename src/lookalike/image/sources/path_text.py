"""Convert file names to text that is valid UTF-8, and back without loss."""

import os

# A byte 0x80..0xFF that is not valid UTF-8 is U+DC80..U+DCFF in a Python path and U+EF80..U+EFFF in text.
_ESCAPE = 0xEF00 - 0xDC00
_TO_TEXT: dict[int, int | str] = {code: code + _ESCAPE for code in range(0xDC80, 0xDD00)}
_TO_PATH = {code + _ESCAPE: code for code in range(0xDC80, 0xDD00)}
if os.name == "posix":
    # Characters U+EF80..U+EFFF in a name are escaped byte by byte, so that no two names have the same text.
    _TO_TEXT |= {code: "".join(chr(0xEF00 + byte) for byte in chr(code).encode()) for code in _TO_PATH}


def to_text(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> str:
    """Return the text form of a path: valid UTF-8, which `to_path` converts back."""
    name = os.fsdecode(path)
    return name if name.isascii() else name.translate(_TO_TEXT)


def to_path(text: str) -> str:
    """Return the path, for the operating system, of a text form."""
    return text if text.isascii() else text.translate(_TO_PATH)
