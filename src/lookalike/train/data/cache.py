"""A cache of small images in one memory-mapped array: each is decoded once for all epochs."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import ImageError, SourceError
from lookalike.image import GuardedDecoder, Limits, fit, read
from lookalike.indexing.pipeline import default_workers, parallel
from lookalike.types import Failure, Preprocessing

ARRAY, INDEX = "pictures.npy", "pictures.json"
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCache:
    """`pixels` (n, side, side, 3) uint8, on disk. `rows`: the paths that were decoded; `failed`: the others."""

    pixels: NDArray[np.uint8]
    rows: NDArray[np.int64]
    failed: Sequence[Failure]

    def __len__(self) -> int:
        return len(self.rows)


def cache_images(
    paths: Sequence[str], folder: Path, *, side: int, resize: str = "squash", progress: Progress | None = None
) -> ImageCache:
    """Decode and fit images into `folder`. A complete cache of the same paths and side is reused.

    Images that cannot be decoded are left out and listed. Raises SourceError if none can, or if the disk is full.
    """
    key = hashlib.sha256(json.dumps([side, resize, *paths]).encode()).hexdigest()
    if (cached := _load(folder, key)) is not None:
        return cached
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX).unlink(missing_ok=True)
    try:
        array = np.lib.format.open_memmap(folder / ARRAY, "w+", np.uint8, (len(paths), side, side, 3))
        _allocate(folder / ARRAY)
        failed = _fill(array, paths, Preprocessing(size=(side, side), resize=resize), progress)
        array.flush()
    except OSError as error:
        size = len(paths) * side * side * 3 / 1e9
        raise SourceError(
            f"the cache of {len(paths):,} images, {size:.1f} GB, cannot be written to {folder} ({error.strerror}); "
            "choose a smaller --side, or another folder with -o"
        ) from None
    failures = [[n, failed[n]] for n in sorted(failed)]
    if len(failures) == len(paths):
        raise SourceError(f"none of {len(paths):,} images can be decoded; the first: {paths[0]}: {failures[0][1]}")
    (folder / INDEX).write_text(json.dumps({"key": key, "paths": list(paths), "failed": failures}))
    cached = _load(folder, key)
    assert cached is not None
    return cached


def _allocate(path: Path) -> None:
    """Allocate the file's disk space. Raises OSError; writing through the memory map would end in a signal instead."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _fill(
    array: NDArray[np.uint8], paths: Sequence[str], shape: Preprocessing, progress: Progress | None
) -> dict[int, str]:
    """Decode into the array, in threads. Returns the errors by row."""
    failed: dict[int, str] = {}
    with GuardedDecoder(Limits()) as decoder:

        def work(rows: list[int]) -> int:
            for row in rows:
                try:
                    array[row] = fit(decoder.decode(read(paths[row]), side=max(shape.size)).image, shape)
                except ImageError as error:
                    failed[row] = str(error)
            return len(rows)

        done = 0
        for count in parallel(range(len(paths)), work, workers=default_workers(), batch=32):
            done += count
            if progress:
                progress(done, len(paths))
    return failed


def _load(folder: Path, key: str) -> ImageCache | None:
    try:
        index: dict[str, Any] = json.loads((folder / INDEX).read_text())
        if index["key"] != key:
            return None
        pixels = np.load(folder / ARRAY, mmap_mode="r")
    except (OSError, ValueError, KeyError):
        return None
    failed = dict(index["failed"])
    rows = np.array([n for n in range(len(index["paths"])) if n not in failed], np.int64)
    failures = [Failure(index["paths"][n], reason) for n, reason in failed.items()]
    return ImageCache(pixels=pixels, rows=rows, failed=failures)


def delete_cache(folder: Path) -> None:
    """Delete the cache's files."""
    for name in (ARRAY, INDEX):
        (folder / name).unlink(missing_ok=True)
