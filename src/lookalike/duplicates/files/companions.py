"""Companions: files that belong to an image and move with it, such as a live photo's video and sidecars.

A companion is recognized by its name, ignoring case: `IMG_1.MOV`, `IMG_1.AAE` and `IMG_1.xmp` share the stem of
`IMG_1.JPG`; `IMG_1.JPG.xmp` and `IMG_1.jpg.json` start with its full name. A companion that shares only the stem
belongs to every image with that stem (`IMG_1.NEF`, `IMG_1.HEIC`), and stays as long as one of them does.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from lookalike.image import EXTENSIONS, RAW_EXTENSIONS

SIDECARS = frozenset({
    "xmp",  # Adobe, darktable, digiKam and most others
    "aae",  # Apple Photos: edits
    "pp3", "arp",  # RawTherapee, ART
    "dop",  # DxO
    "on1", "onphoto",  # ON1
    "cos",  # Capture One
    "vrd", "dr4",  # Canon Digital Photo Professional
    "nksc",  # Nikon NX Studio
})  # fmt: skip
"""Extensions of files that describe an image with the same stem, or one whose full name they start with."""

FULL_NAME_SIDECARS = SIDECARS | {"json"}  # a .json that shares only the stem may be anything
LIVE_IMAGES = frozenset({"heic", "heif", "hif", "jpg", "jpeg", "jpe"})
LIVE_VIDEOS = frozenset({"mov", "mp4"})
MAX_LIVE_VIDEO_BYTES = 32 * 2**20  # three seconds take 2 to 10 MB; a film with its poster beside it takes more

_MEDIA_EXTENSIONS = EXTENSIONS | RAW_EXTENSIONS
_VIDEO_EXTENSIONS = LIVE_VIDEOS | {"m4v", "avi", "mts", "m2ts", "3gp", "mkv", "mpg", "mpeg", "wmv", "webm"}
_TAKEOUT_SUFFIX = (
    "supplemental-metadata"  # Google Takeout inserts it before .json, and truncates long names anywhere in it
)
_NUMBERED_NAME = re.compile(r"(.*?)(\(\d+\))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Companion:
    """A file that moves with an image. Paths are operating system paths.

    `tail`: the part of its name after the image's stem. `owners`: other images that it belongs to, which move too.
    """

    path: str
    tail: str
    owners: tuple[str, ...] = ()


class Companions:
    """Finds companions; each folder is listed once."""

    def __init__(self) -> None:
        self._folders: dict[str, _FolderListing] = {}

    def of(self, path: str, moving: Mapping[str, int]) -> list[Companion]:
        """Return the companions that move with the image at `path`, sorted by name.

        `moving`: all images that move, each with its position in the order. A companion of several of them moves with
        the last. Raises OSError if the folder cannot be listed.
        """
        parent, name = os.path.split(path)
        if parent not in self._folders:
            self._folders[parent] = _FolderListing.scan(parent)
        folder = self._folders[parent]
        companions = []
        for companion, tail in sorted(dict(_candidates(folder, name, moving)).items()):
            others = tuple(owner for owner in folder.paths(folder.owners(companion)) if owner != path)
            if all(owner in moving and moving[owner] < moving[path] for owner in others):
                companions.append(Companion(os.path.join(parent, companion), tail, others))
        return companions


@dataclass(slots=True)
class _FolderListing:
    """The images, videos and sidecars in a folder. Keys are case-folded.

    `by_name`: by full name. `by_stem`: by stem. `by_described`: sidecars by the full name of the file they describe.
    """

    path: str
    names: set[str] = field(default_factory=set)
    by_name: dict[str, list[str]] = field(default_factory=dict)
    by_stem: dict[str, list[str]] = field(default_factory=dict)
    by_described: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def scan(cls, path: str) -> "_FolderListing":
        folder = cls(path)
        with os.scandir(path) as scan:
            for entry in scan:
                if _extension(entry.name) in _LISTED_EXTENSIONS and not entry.is_dir(follow_symlinks=False):
                    folder._add(entry.name)
        return folder

    def _add(self, name: str) -> None:
        self.names.add(name)
        self.by_name.setdefault(name.casefold(), []).append(name)
        self.by_stem.setdefault(_stem(name).casefold(), []).append(name)
        if (full_name := described_name(name)) is not None:
            self.by_described.setdefault(full_name.casefold(), []).append(name)

    def paths(self, names: Iterable[str]) -> list[str]:
        return [os.path.join(self.path, name) for name in names]

    def same_name(self, name: str) -> list[str]:
        """Return the file of exactly this name, or else the files of this name in other case."""
        return [name] if name in self.names else self.by_name.get(name.casefold(), [])

    def of_stem(self, name: str, extensions: frozenset[str]) -> list[str]:
        """Return the files with the stem of `name` and one of the extensions."""
        return [file for file in self.by_stem.get(_stem(name).casefold(), ()) if _extension(file) in extensions]

    def owners(self, name: str) -> list[str]:
        """Return the images and videos that a file belongs to."""
        full_name = described_name(name)
        if full_name is not None and (files := self.same_name(full_name)):
            if _extension(full_name) not in _VIDEO_EXTENSIONS:
                return files
            name = files[0]
        return self.of_stem(name, _MEDIA_EXTENSIONS)

    def is_live_video(self, name: str) -> bool:
        """Return whether a video is part of a live photo: small, and beside an image of a format that cameras use."""
        if _extension(name) not in LIVE_VIDEOS or not self.of_stem(name, LIVE_IMAGES):
            return False
        return os.lstat(os.path.join(self.path, name)).st_size <= MAX_LIVE_VIDEO_BYTES


def described_name(name: str) -> str | None:
    """Return the full file name in a sidecar's name, such as IMG_1.JPG in IMG_1.JPG.xmp; None if there is none.

    Google Takeout names the sidecar of IMG_1(1).jpg IMG_1.jpg(1).json.
    """
    extension, inner = _extension(name), _stem(name)
    if extension not in FULL_NAME_SIDECARS:
        return None
    if extension == "json" and (match := _NUMBERED_NAME.fullmatch(inner)):
        inner, number = match[1], match[2] or ""
        if _extension(inner) and _TAKEOUT_SUFFIX.startswith(_extension(inner)):
            inner = _stem(inner)
        inner = f"{_stem(inner)}{number}{os.path.splitext(inner)[1]}"
    return inner if _extension(inner) else None


def _candidates(folder: _FolderListing, name: str, moving: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yield names that may move with an image, each with its tail."""
    extension = os.path.splitext(name)[1]
    yield from ((sidecar, f"{extension}.{_extension(sidecar)}") for sidecar in _sidecars_of(folder, name))
    videos = folder.of_stem(name, _VIDEO_EXTENSIONS)
    images = folder.of_stem(name, _MEDIA_EXTENSIONS)
    live_image_moves = any(_extension(path) in LIVE_IMAGES and path in moving for path in folder.paths(images))
    live = [video for video in videos if live_image_moves and folder.is_live_video(video)]
    for video in live:
        yield video, os.path.splitext(video)[1]
        yield from ((sidecar, sidecar[len(_stem(video)) :]) for sidecar in _sidecars_of(folder, video))
    if len(live) < len(videos):
        return  # another video with this stem stays, and the sidecars may be its own
    for sidecar in folder.of_stem(name, SIDECARS):
        full_name = described_name(sidecar)
        if full_name is None or not folder.same_name(full_name):
            yield sidecar, os.path.splitext(sidecar)[1]


def _sidecars_of(folder: _FolderListing, name: str) -> list[str]:
    """Return sidecars that start with a file's full name, in any case unless another file has exactly that name."""
    return [
        sidecar
        for sidecar in folder.by_described.get(name.casefold(), ())
        if (full_name := described_name(sidecar)) is not None
        and (full_name == name or name in folder.same_name(full_name))
    ]


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]


def _extension(name: str) -> str:
    return os.path.splitext(name)[1][1:].lower()


_LISTED_EXTENSIONS = _MEDIA_EXTENSIONS | _VIDEO_EXTENSIONS | FULL_NAME_SIDECARS
