"""Clusters for other programs: a CSV or Parquet table, or nested folders with links to the files or copies of them."""

import csv
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lookalike.cluster.grouping import Clusters
from lookalike.errors import BadQuery, ImageError, LookalikeError
from lookalike.image import read, to_path
from lookalike.image.sources.files import is_remote
from lookalike.image.sources.web import is_web
from lookalike.search import Collection
from lookalike.text import expanded

_BATCH = 2000
_FOLDER = re.compile(r"\d{3,}( .*)?|noise")  # the names that _folder_names gives

# --- tables


def write_clusters(clusters: Clusters, path: str | Path) -> Path:
    """Write a .csv or .parquet file with one row per image: id, level_8, level_64 ..., score, name.

    `score` is that to the center of the finest cluster.
    """
    columns: dict[str, Sequence[Any]] = {"id": clusters.ids}
    for count, level in zip(clusters.counts, clusters.levels, strict=True):
        columns[f"level_{count}"] = level.assignments.tolist()
    columns["score"] = [round(score, 6) for score in clusters.scores.tolist()]
    columns["name"] = names_of(clusters)
    return write_columns(columns, path)


def names_of(clusters: Clusters) -> list[str]:
    """For each image, the name of its finest named cluster, or ""."""
    names = [""] * len(clusters.ids)
    for level, described in zip(clusters.levels, clusters.clusters, strict=True):
        for row, number in enumerate(level.assignments.tolist()):
            if number >= 0 and described[number].name:
                names[row] = described[number].name
    return names


def check_table_path(path: str | Path) -> None:
    """Raise BadQuery unless the file name ends in .csv or .parquet."""
    if Path(path).suffix.lower() not in (".csv", ".parquet"):
        raise BadQuery(f"{path} does not end in .csv or .parquet, the two table formats; use one of them")


def write_columns(columns: Mapping[str, Sequence[Any]], path: str | Path) -> Path:
    """Write columns of equal length as .csv or .parquet.

    Raises BadQuery for another extension, LookalikeError if the file cannot be written.
    """
    check_table_path(path)
    target = expanded(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix.lower() == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), target)
        else:
            with target.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(columns)
                writer.writerows(zip(*columns.values(), strict=True))
    except OSError as error:
        raise LookalikeError(f"{target} cannot be written ({error.strerror}); name a file you may write to") from error
    return target


# --- folders


def write_tree(photos: Collection, clusters: Clusters, folder: str | Path, *, copies: bool = False) -> tuple[int, int]:
    """Write `folder` with one folder per cluster, nested by level. Returns how many images are in it, how many are not.

    Images without an accessible file are left out. `copies`: copy the files instead of linking to them. An earlier tree
    of links is replaced, since it holds no data of its own. Raises LookalikeError if the folder holds anything else.
    """
    target = expanded(folder)
    check_tree(target)
    if target.exists():
        shutil.rmtree(target)
    written = missing = 0
    for row, path in enumerate(_paths(photos, clusters.ids)):
        content = _remote_content(photos, path) if copies and is_remote(path) else None
        if content is None and not os.path.isfile(to_path(path)):
            missing += 1  # in an archive or a bucket, on a drive that is not mounted, or added without a file
            continue
        try:
            _add_file(path, content, target.joinpath(*_folder_names(clusters, row)), copies=copies)
        except OSError as error:
            raise LookalikeError(
                f"{target} cannot be written ({error.strerror}); name a folder you may write to, or leave --tree out"
            ) from error
        written += 1
    return written, missing


def check_tree(folder: str | Path) -> None:
    """Raise LookalikeError if `write_tree` would refuse the folder, so that it can be checked before clustering."""
    target = expanded(folder)
    for path in target.rglob("*") if target.exists() else ():
        is_cluster = _FOLDER.fullmatch(path.relative_to(target).parts[0])
        if not is_cluster or not (path.is_symlink() or path.is_dir()):
            raise LookalikeError(f"{target} is not empty; remove it, or name another folder with -o")


def _paths(photos: Collection, ids: list[str]) -> Iterator[str]:
    for start in range(0, len(ids), _BATCH):
        for row in photos.get(ids[start : start + _BATCH], ["path"]):
            yield str(row.metadata.get("path") or "") if row else ""


def _folder_names(clusters: Clusters, row: int) -> Iterator[str]:
    """Names such as "003 shoes", coarsest level first; "noise" for an image in no cluster."""
    for level, described in zip(clusters.levels, clusters.clusters, strict=True):
        number = int(level.assignments[row])
        name = re.sub(r"[^\w .,-]", "_", described[number].name)[:60].strip(" .") if number >= 0 else ""
        yield f"{number:03d} {name}".strip() if number >= 0 else "noise"


def _remote_content(photos: Collection, path: str) -> bytes | None:
    try:
        return read(path, photos.limits)
    except ImageError:
        return None


def _file_name(path: str) -> str:
    """Return a name for the copy of a file; that of a URL without what file systems refuse."""
    if not is_web(path):
        return os.path.basename(to_path(path))
    stem, suffix = os.path.splitext(os.path.basename(unquote(urlsplit(path).path)) or "image")
    return re.sub(r'[<>:"|?*\\/\x00-\x1f]', "_", stem[:50]) + re.sub(r"[^\w.]", "_", suffix[:10])


def _add_file(path: str, content: bytes | None, folder: Path, *, copies: bool) -> None:
    source = to_path(path)
    folder.mkdir(parents=True, exist_ok=True)
    stem, suffix = os.path.splitext(_file_name(path))
    target, n = folder / (stem + suffix), 2
    while os.path.lexists(target):
        target, n = folder / f"{stem}~{n}{suffix}", n + 1
    if content is not None:
        target.write_bytes(content)
    elif copies:
        shutil.copy2(source, target)
    else:
        os.symlink(os.path.abspath(source), target)
