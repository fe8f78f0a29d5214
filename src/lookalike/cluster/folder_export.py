"""Clusters as folders, one within the other, with links to the pictures or copies of them."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from lookalike.cluster.grouping import Clusters
from lookalike.errors import LookalikeError
from lookalike.image import to_path
from lookalike.search import Collection

_AT_ONCE = 2000
_FOLDER = re.compile(r"\d{3,}( .*)?|noise")  # as _folders names them


def write_tree(photos: Collection, clusters: Clusters, folder: str | Path, *, copies: bool = False) -> tuple[int, int]:
    """Make `folder` with a folder a cluster. Returns how many pictures are in it, and how many have no file at hand.

    `copies`: copy the files; otherwise symbolic links. A tree of links made before is replaced, since it holds nothing
    of its own. Raises LookalikeError where the folder holds anything else.
    """
    target = Path(folder).expanduser()
    check_tree(target)
    if target.exists():
        shutil.rmtree(target)
    done = missing = 0
    for row, path in enumerate(_paths(photos, clusters.ids)):
        source = to_path(path) if path else ""
        if not os.path.isfile(source):
            missing += 1  # in an archive, on a drive that is away, or added without a file
            continue
        try:
            _put(source, target.joinpath(*_folders(clusters, row)), copies=copies)
        except OSError as error:
            raise LookalikeError(
                f"{target} cannot be written ({error.strerror}); name a folder you may write to, or leave --tree out"
            ) from error
        done += 1
    return done, missing


def check_tree(folder: str | Path) -> None:
    """Raise LookalikeError where `write_tree` would refuse: better said before the pictures are grouped."""
    target = Path(folder).expanduser()
    for path in target.rglob("*") if target.exists() else ():
        ours = _FOLDER.fullmatch(path.relative_to(target).parts[0])
        if not ours or not (path.is_symlink() or path.is_dir()):
            raise LookalikeError(f"{target} is not empty; remove it, or name another folder with -o")


def _paths(photos: Collection, ids: list[str]) -> Iterator[str]:
    for start in range(0, len(ids), _AT_ONCE):
        for row in photos.get(ids[start : start + _AT_ONCE], ["path"]):
            yield str(row.metadata.get("path") or "") if row else ""


def _folders(clusters: Clusters, row: int) -> Iterator[str]:
    """Names such as "003 shoes", coarsest first; "noise" for what is in no cluster."""
    for level, described in zip(clusters.levels, clusters.clusters, strict=True):
        number = int(level.assignments[row])
        name = re.sub(r"[^\w .,-]", "_", described[number].name)[:60].strip(" .") if number >= 0 else ""
        yield f"{number:03d} {name}".strip() if number >= 0 else "noise"


def _put(source: str, folder: Path, *, copies: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name, ending = os.path.splitext(os.path.basename(source))
    target, n = folder / (name + ending), 2
    while os.path.lexists(target):
        target, n = folder / f"{name}~{n}{ending}", n + 1
    if copies:
        shutil.copy2(source, target)
    else:
        os.symlink(os.path.abspath(source), target)
