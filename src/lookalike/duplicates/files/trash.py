"""The system's trash: where a file that was put there lies now, so that it can be taken back.

send2trash puts files in and does not tell where. On Linux the trash notes each file's origin (freedesktop.org Trash
specification 1.0); Windows notes it in a $I file; macOS keeps the name alone. The content's hash confirms each.
"""

import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

from lookalike.duplicates.files.moves import is_file, sha256_of


def put(path: str) -> None:
    """Send one file to the trash. Raises OSError with the reason; the file stays then."""
    from send2trash import send2trash

    send2trash(path)


def find(path: str, sha256: str) -> tuple[str, str] | None:
    """Where the file that was at `path` lies in the trash, and the note beside it ("" where there is none)."""
    search = {"darwin": _on_mac, "win32": _on_windows}.get(sys.platform, _on_linux)
    for place, note in search(path):
        try:
            if is_file(place) and sha256_of(place) == sha256:
                return place, note
        except OSError:
            continue
    return None


def _on_linux(path: str) -> Iterator[tuple[str, str]]:
    for trash, top in _trashes(path):
        try:
            names = sorted(os.listdir(os.path.join(trash, "info")), reverse=True)
        except OSError:
            continue
        for name in names:
            note = os.path.join(trash, "info", name)
            if name.endswith(".trashinfo") and _origin(note, top) == path:
                yield os.path.join(trash, "files", name.removesuffix(".trashinfo")), note


def _trashes(path: str) -> Iterator[tuple[str, str]]:
    """The trash folders that may hold it, each with the folder that relative origins start from."""
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    yield os.path.join(data, "Trash"), data
    top = os.path.dirname(os.path.realpath(path))
    while not os.path.ismount(top) and os.path.dirname(top) != top:
        top = os.path.dirname(top)
    uid = os.getuid()
    yield os.path.join(top, ".Trash", str(uid)), top
    yield os.path.join(top, f".Trash-{uid}"), top


def _origin(note: str, top: str) -> str | None:
    try:
        with open(note, "rb") as file:
            lines = file.read(1 << 16).splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(b"Path="):
            return os.path.join(top, os.fsdecode(unquote_to_bytes(line.removeprefix(b"Path="))))
    return None


def _on_mac(path: str) -> Iterator[tuple[str, str]]:
    """The Finder keeps the name, or puts the time behind it: what has the stem and the bytes is it."""
    stem, ending = os.path.splitext(os.path.basename(path))
    for trash in (
        os.path.expanduser("~/.Trash"),
        *(str(p) for p in Path("/Volumes").glob(f"*/.Trashes/{os.getuid()}")),
    ):
        try:
            names = os.listdir(trash)
        except OSError:
            continue
        yield from ((os.path.join(trash, n), "") for n in sorted(names) if n.startswith(stem) and n.endswith(ending))


def _on_windows(path: str) -> Iterator[tuple[str, str]]:
    drive = os.path.splitdrive(os.path.abspath(path))[0]
    for note in Path(f"{drive}\\$Recycle.Bin").glob("*/$I*"):
        try:
            origin = recycled_origin(note.read_bytes())
        except OSError:
            continue
        if origin is not None and origin.casefold() == os.path.abspath(path).casefold():
            yield str(note.with_name("$R" + note.name.removeprefix("$I"))), str(note)


def recycled_origin(data: bytes) -> str | None:
    """The path in a $I file of the Windows recycle bin: version 2 tells its length, version 1 has 260 characters."""
    if len(data) < 28:
        return None
    (version,) = struct.unpack_from("<Q", data)
    text = data[28 : 28 + 2 * struct.unpack_from("<I", data, 24)[0]] if version == 2 else data[24 : 24 + 520]
    return text.decode("utf-16-le", errors="replace").split("\0")[0] or None
