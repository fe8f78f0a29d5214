"""Folders for files of the system and of programs: recycle bins, snapshots, thumbnails, photo libraries.

This is the only table of their names. A walk skips them, unless such a folder or a file inside it is
named as a source. Among duplicates, a file inside one is never kept in preference to a file outside.
"""

import re
from dataclasses import dataclass
from fnmatch import translate
from typing import Literal

Kind = Literal["bin", "snapshot", "internal", "library"]

# Lower case; shell patterns. Names with a leading dot are hidden anyway, but may be root_depth as a source.
SYSTEM_FOLDERS: dict[Kind, tuple[str, ...]] = {
    "bin": (
        "$recycle.bin", "recycler", "@recycle", "#recycle", ".recycle", ".recycle.bin", ".trash", ".trash-*",
        ".trashes", ".dtrash",
    ),
    "snapshot": ("#snapshot", "~snapshot", ".snapshot", ".snapshots", "@recently-snapshot", "@gmt-*", ".zfs"),
    "internal": (
        "@eadir", "@tmp", ".@__thumb", "@__thumb", "__macosx", "system volume information", "lost+found", "*.lrdata",
    ),
    "library": (
        "*.photoslibrary", "*.photolibrary", "*.aplibrary", "*.migratedphotolibrary", "*.migratedaplibrary",
    ),
}  # fmt: skip

LIBRARY_ORIGINALS = frozenset({"originals", "masters"})
"""Subfolders of a photo library with the imported files; the others hold previews, thumbnails and faces."""

DESCRIPTIONS: dict[Kind, str] = {
    "bin": "a recycle bin",
    "snapshot": "a snapshot",
    "internal": "a folder of a program's own files",
    "library": "a photo library",
}

_SEPARATORS = re.compile(r"([/\\])")
_EXACT = {name: kind for kind, names in SYSTEM_FOLDERS.items() for name in names if "*" not in name}
_PATTERNS = re.compile(
    "|".join(
        f"(?P<{kind}>{'|'.join(translate(name) for name in names if '*' in name) or '(?!)'})"
        for kind, names in SYSTEM_FOLDERS.items()
    )
)


@dataclass(frozen=True, slots=True)
class SystemFolder:
    """The outermost system folder of a path. `original`: the path is among the originals of a photo library."""

    path: str
    kind: Kind
    original: bool = False

    @property
    def words(self) -> str:
        """What such a folder holds, as a phrase."""
        return DESCRIPTIONS[self.kind]


def system_folder_kind(name: str) -> Kind | None:
    """Return the kind of system folder with this name, ignoring case; None for other names."""
    lower = name.lower()
    if (kind := _EXACT.get(lower)) is not None:
        return kind
    match = _PATTERNS.match(lower)
    return None if match is None else next(kind for kind in SYSTEM_FOLDERS if match[kind] is not None)


def is_system_folder(name: str) -> bool:
    """Return whether a folder of this name is a system folder, ignoring case."""
    return system_folder_kind(name) is not None


def system_folder_of(path: str, root: str = "") -> SystemFolder | None:
    """Return the outermost system folder that contains a file, by its path, with slashes or backslashes.

    `root`: a folder named as a source; system folders on its path do not count, but of a photo library named as a
    source only the originals are exempt.
    """
    parts = _SEPARATORS.split(path)
    folders = parts[:-1:2]
    root_depth = len(_SEPARATORS.split(root.rstrip("/\\"))[::2]) if root else 0
    for n, name in enumerate(folders):
        kind = system_folder_kind(name)
        if kind is None and [part.lower() for part in folders[n - 1 : n + 2]] == ["share", "trash", "files"]:
            kind = "bin"  # freedesktop.org: ~/.local/share/Trash/files
        original = kind == "library" and _among_originals(folders[n + 1 :])
        if kind is not None and (n >= root_depth or (n == root_depth - 1 and kind == "library" and not original)):
            return SystemFolder("".join(parts[: 2 * n + 1]), kind, original)
    return None


def _among_originals(folders: list[str]) -> bool:
    return bool(folders) and folders[0].lower() in LIBRARY_ORIGINALS and not any(map(is_system_folder, folders))
