"""The files that belong to a picture and go where it goes: the video of a live photo, sidecars with edits and words.

A companion is known by its name, in any case: `IMG_1.MOV`, `IMG_1.AAE` and `IMG_1.xmp` have the stem of `IMG_1.JPG`,
`IMG_1.JPG.xmp` and `IMG_1.jpg.json` its whole name. One that has only the stem belongs to every picture of that stem
(`IMG_1.NEF`, `IMG_1.HEIC`), and stays as long as one of them does.
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
"""Extensions of files that say something of a picture with the same stem, or whose whole name they begin with."""

WHOLE_NAME_SIDECARS = SIDECARS | {"json"}  # alone, a .json of the same stem may be anything
LIVE_PICTURES = frozenset({"heic", "heif", "hif", "jpg", "jpeg", "jpe"})
LIVE_VIDEOS = frozenset({"mov", "mp4"})
MAX_LIVE_VIDEO_BYTES = 32 * 2**20  # three seconds take 2 to 10 MB; a film with its poster beside it takes more

_MEDIA = EXTENSIONS | RAW_EXTENSIONS
_VIDEOS = LIVE_VIDEOS | {"m4v", "avi", "mts", "m2ts", "3gp", "mkv", "mpg", "mpeg", "wmv", "webm"}
_TAKEOUT = "supplemental-metadata"  # Google Takeout puts it before .json, and cuts long names anywhere in it
_NUMBERED = re.compile(r"(.*?)(\(\d+\))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Companion:
    """A file that goes with a picture. Paths are as the operating system takes them.

    `tail`: what its name has behind the picture's stem. `owners`: other pictures that it belongs to, which go too.
    """

    path: str
    tail: str
    owners: tuple[str, ...] = ()


class Companions:
    """Looks for companions; each folder is listed once."""

    def __init__(self) -> None:
        self._folders: dict[str, _Folder] = {}

    def of(self, path: str, going: Mapping[str, int]) -> list[Companion]:
        """What goes with the picture at `path`, sorted by name. Raises OSError where its folder cannot be listed.

        `going`: all pictures that go, each with its turn. What belongs to several of them goes with the last.
        """
        where, name = os.path.split(path)
        if where not in self._folders:
            self._folders[where] = _Folder.listed(where)
        folder = self._folders[where]
        companions = []
        for one, tail in sorted(dict(_candidates(folder, name, going)).items()):
            others = tuple(owner for owner in folder.paths(folder.owners(one)) if owner != path)
            if all(owner in going and going[owner] < going[path] for owner in others):
                companions.append(Companion(os.path.join(where, one), tail, others))
        return companions


@dataclass(slots=True)
class _Folder:
    """The names in a folder that matter here; `stems`, `wholes`: by the stem, or the whole name, that they share."""

    path: str
    names: set[str] = field(default_factory=set)
    lower: dict[str, list[str]] = field(default_factory=dict)
    stems: dict[str, list[str]] = field(default_factory=dict)
    wholes: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def listed(cls, path: str) -> "_Folder":
        folder = cls(path)
        with os.scandir(path) as scan:
            for entry in scan:
                if _extension(entry.name) in _ALL and not entry.is_dir(follow_symlinks=False):
                    folder._add(entry.name)
        return folder

    def _add(self, name: str) -> None:
        self.names.add(name)
        self.lower.setdefault(name.casefold(), []).append(name)
        self.stems.setdefault(_stem(name).casefold(), []).append(name)
        if (whole := described(name)) is not None:
            self.wholes.setdefault(whole.casefold(), []).append(name)

    def paths(self, names: Iterable[str]) -> list[str]:
        return [os.path.join(self.path, name) for name in names]

    def alike(self, name: str) -> list[str]:
        """The files of this very name, or else of this name in other case."""
        return [name] if name in self.names else self.lower.get(name.casefold(), [])

    def of_stem(self, name: str, kinds: frozenset[str]) -> list[str]:
        return [one for one in self.stems.get(_stem(name).casefold(), ()) if _extension(one) in kinds]

    def owners(self, name: str) -> list[str]:
        """The pictures that a file belongs to."""
        whole = described(name)
        if whole is not None and (alike := self.alike(whole)):
            if _extension(whole) not in _VIDEOS:
                return alike
            name = alike[0]
        return self.of_stem(name, _MEDIA)

    def is_live_video(self, name: str) -> bool:
        """Whether a video is part of a live photo: as small as one, and beside a picture as cameras pair it with."""
        if _extension(name) not in LIVE_VIDEOS or not self.of_stem(name, LIVE_PICTURES):
            return False
        return os.lstat(os.path.join(self.path, name)).st_size <= MAX_LIVE_VIDEO_BYTES


def described(name: str) -> str | None:
    """The whole name of the file that a sidecar is of, as far as its own name tells: IMG_1.JPG of IMG_1.JPG.xmp.

    Google Takeout numbers IMG_1(1).jpg's sidecar IMG_1.jpg(1).json.
    """
    extension, inner = _extension(name), _stem(name)
    if extension not in WHOLE_NAME_SIDECARS:
        return None
    if extension == "json" and (match := _NUMBERED.fullmatch(inner)):
        inner, number = match[1], match[2] or ""
        if _extension(inner) and _TAKEOUT.startswith(_extension(inner)):
            inner = _stem(inner)
        inner = f"{_stem(inner)}{number}{os.path.splitext(inner)[1]}"
    return inner if _extension(inner) else None


def _candidates(folder: _Folder, name: str, going: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Names that may go with a picture, each with its tail."""
    ending = os.path.splitext(name)[1]
    yield from ((one, f"{ending}.{_extension(one)}") for one in _of_whole(folder, name))
    videos = folder.of_stem(name, _VIDEOS)
    pictures = folder.of_stem(name, _MEDIA)
    live_goes = any(_extension(path) in LIVE_PICTURES and path in going for path in folder.paths(pictures))
    live = [video for video in videos if live_goes and folder.is_live_video(video)]
    for video in live:
        yield video, os.path.splitext(video)[1]
        yield from ((one, one[len(_stem(video)) :]) for one in _of_whole(folder, video))
    if len(live) < len(videos):
        return  # a film of that name stays, and sidecars may be its own
    for one in folder.of_stem(name, SIDECARS):
        whole = described(one)
        if whole is None or not folder.alike(whole):
            yield one, os.path.splitext(one)[1]


def _of_whole(folder: _Folder, name: str) -> list[str]:
    """Sidecars of a file by its whole name, unless they have the very name of another in other case."""
    return [
        one
        for one in folder.wholes.get(name.casefold(), ())
        if (whole := described(one)) is not None and (whole == name or name in folder.alike(whole))
    ]


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]


def _extension(name: str) -> str:
    return os.path.splitext(name)[1][1:].lower()


_ALL = _MEDIA | _VIDEOS | WHOLE_NAME_SIDECARS
