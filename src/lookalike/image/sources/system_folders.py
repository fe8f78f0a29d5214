"""Folders in which systems and programs keep their own files: recycle bins, snapshots, thumbnails, photo libraries.

The one table of their names. A walk passes them by, unless one of them, or a file inside, is named as a source; a copy
inside is never kept over one outside.
"""

import re
from dataclasses import dataclass
from fnmatch import translate
from typing import Literal

Kind = Literal["bin", "snapshot", "internal", "library"]

# Lower case; patterns as in a shell. What begins with a full stop is hidden anyway, but may be named as a source.
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
"""Where a photo library keeps what was put into it; all else inside is made from it (previews, thumbnails, faces)."""

WORDS: dict[Kind, str] = {
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
    """The outermost such folder on a path. `original`: whether the path lies among the originals of a photo library."""

    path: str
    kind: Kind
    original: bool = False

    @property
    def words(self) -> str:
        return WORDS[self.kind]


def system_folder_kind(name: str) -> Kind | None:
    """What kind of system folder has this name, in any case; None for any other name."""
    lower = name.lower()
    if (kind := _EXACT.get(lower)) is not None:
        return kind
    match = _PATTERNS.match(lower)
    return None if match is None else next(kind for kind in SYSTEM_FOLDERS if match[kind] is not None)


def is_system_folder(name: str) -> bool:
    """Whether a folder of this name holds files of a system or a program, in any case."""
    return system_folder_kind(name) is not None


def system_folder_of(path: str, root: str = "") -> SystemFolder | None:
    """The outermost system folder that a file lies in, by its path, with slashes or backslashes.

    `root`: a folder that was named as a source, with all that its path names; but a photo library that was named gives
    its originals only.
    """
    parts = _SEPARATORS.split(path)
    folders = parts[:-1:2]
    named = len(_SEPARATORS.split(root.rstrip("/\\"))[::2]) if root else 0
    for n, name in enumerate(folders):
        kind = system_folder_kind(name)
        if kind is None and [part.lower() for part in folders[n - 1 : n + 2]] == ["share", "trash", "files"]:
            kind = "bin"  # freedesktop.org: ~/.local/share/Trash/files
        original = kind == "library" and _among_originals(folders[n + 1 :])
        if kind is not None and (n >= named or (n == named - 1 and kind == "library" and not original)):
            return SystemFolder("".join(parts[: 2 * n + 1]), kind, original)
    return None


def _among_originals(folders: list[str]) -> bool:
    return bool(folders) and folders[0].lower() in LIBRARY_ORIGINALS and not any(map(is_system_folder, folders))
