"""The system's trash: move files into it, and find them there again.

send2trash does not return where a file went. On Linux the trash records each file's origin (freedesktop.org Trash
specification 1.0), on Windows a $I file does; on macOS only the name is known. A match is confirmed by its hash.
"""

import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

from lookalike.duplicates.files.moves import is_file, sha256_of


def move_to_trash(path: str) -> None:
    """Move a file to the trash. Raises OSError, and then the file stays."""
    from send2trash import send2trash

    send2trash(path)


def find(path: str, sha256: str) -> tuple[str, str] | None:
    """Return where the file from `path` is in the trash, and its info file ("" if there is none); None if not found."""
    search = {"darwin": _on_mac, "win32": _on_windows}.get(sys.platform, _on_linux)
    for candidate, info_file in search(path):
        try:
            if is_file(candidate) and sha256_of(candidate) == sha256:
                return candidate, info_file
        except OSError:
            continue
    return None


def _on_linux(path: str) -> Iterator[tuple[str, str]]:
    for trash, top in _trash_folders(path):
        try:
            names = sorted(os.listdir(os.path.join(trash, "info")), reverse=True)
        except OSError:
            continue
        for name in names:
            info_file = os.path.join(trash, "info", name)
            if name.endswith(".trashinfo") and _origin(info_file, top) == path:
                yield os.path.join(trash, "files", name.removesuffix(".trashinfo")), info_file


def _trash_folders(path: str) -> Iterator[tuple[str, str]]:
    """Yield the trash folders that may hold the file, each with the base folder of relative origins."""
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    yield os.path.join(data, "Trash"), data
    top = os.path.dirname(os.path.realpath(path))
    while not os.path.ismount(top) and os.path.dirname(top) != top:
        top = os.path.dirname(top)
    uid = os.getuid()
    yield os.path.join(top, ".Trash", str(uid)), top
    yield os.path.join(top, f".Trash-{uid}"), top


def _origin(info_file: str, top: str) -> str | None:
    try:
        with open(info_file, "rb") as file:
            lines = file.read(1 << 16).splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(b"Path="):
            return os.path.join(top, os.fsdecode(unquote_to_bytes(line.removeprefix(b"Path="))))
    return None


def _on_mac(path: str) -> Iterator[tuple[str, str]]:
    """Yield files with the same stem and extension: the Finder keeps the name, or appends the time to the stem."""
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
    for info_file in Path(f"{drive}\\$Recycle.Bin").glob("*/$I*"):
        try:
            origin = recycled_origin(info_file.read_bytes())
        except OSError:
            continue
        if origin is not None and origin.casefold() == os.path.abspath(path).casefold():
            yield str(info_file.with_name("$R" + info_file.name.removeprefix("$I"))), str(info_file)


def recycled_origin(data: bytes) -> str | None:
    """Return the path in a $I file of the Windows recycle bin: version 2 has its length, version 1 260 characters."""
    if len(data) < 28:
        return None
    (version,) = struct.unpack_from("<Q", data)
    text = data[28 : 28 + 2 * struct.unpack_from("<I", data, 24)[0]] if version == 2 else data[24 : 24 + 520]
    return text.decode("utf-16-le", errors="replace").split("\0")[0] or None
