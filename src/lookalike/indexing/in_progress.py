"""A crash-proof record of the files being decoded: shared memory backed by a small file in the collection's folder.

A decoder that crashes the process leaves the path of its file in the record; the next run processes that file last and
decodes it in a separate process. The record is locked while its process lives, also for other machines.
"""

import mmap
import os
import secrets
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from lookalike.file_lock import try_lock

_SLOT: Final = 4096  # bytes: the longest path that systems allow, and its length
_SLOTS: Final = 64  # files recorded at a time; further ones are not recorded
_PREFIX: Final = "in-hand-"


class InProgress:
    """The files in progress in this run.

    `folder`: where the record lies; None: no record. `suspects`: files recorded by runs that died; they stay in the
    record until this run has decoded them.
    """

    def __init__(self, folder: str | None = None, suspects: Collection[str] = ()) -> None:
        self._path = None if folder is None else os.path.join(folder, f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}")
        self._map: mmap.mmap | None = None
        self._descriptor = -1
        self._free = list(range(_SLOTS))
        self._suspects: dict[str, int] = {}
        self._lock = threading.Lock()
        for path in list(suspects)[: _SLOTS // 2]:
            if (slot := self._add(path)) is not None:
                self._suspects[path] = slot

    @contextmanager
    def recording(self, path: str) -> Iterator[None]:
        """Record a file while it is decoded. Afterwards it is no longer a suspect, even if decoding failed."""
        slot = self._add(path)
        try:
            yield
        finally:
            self._clear(slot)
            self._clear(self._suspects.pop(path, None))

    def close(self) -> None:
        """Close the record, and delete it unless it holds suspects that were not decoded."""
        with self._lock:
            path, self._path = self._path, None
            if self._map is not None:
                self._map.close()
                self._map = None
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
                if path is not None and not self._suspects:
                    with suppress(OSError):
                        os.remove(path)

    def _add(self, path: str) -> int | None:
        name = path.encode("utf-8", "surrogateescape")[: _SLOT - 2]
        with self._lock:
            if self._path is None or (self._map is None and not self._create()) or not self._free:
                return None
            assert self._map is not None
            slot = self._free.pop()
            start = slot * _SLOT
            self._map[start + 2 : start + 2 + len(name)] = name
            self._map[start : start + 2] = len(name).to_bytes(2, "big")
            return slot

    def _clear(self, slot: int | None) -> None:
        if slot is None:
            return
        with self._lock:
            if self._map is not None:
                self._map[slot * _SLOT : slot * _SLOT + 2] = b"\0\0"
            self._free.append(slot)

    def _create(self) -> bool:
        assert self._path is not None
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            # Written, not only resized: on a full disk, filling a hole would end the process with a signal.
            os.write(self._descriptor, bytes(_SLOT * _SLOTS))
            try_lock(self._descriptor)
            self._map = mmap.mmap(self._descriptor, _SLOT * _SLOTS)
        except (OSError, ValueError):  # a full disk or a read-only folder: go on without a record
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
                with suppress(OSError):
                    os.remove(self._path)
            self._path = None
            return False
        return True


def take_interrupted(folder: str | None) -> frozenset[str]:
    """Return the files that were in progress when earlier runs died, and delete their records."""
    paths: set[str] = set()
    if folder is None or not os.path.isdir(folder):
        return frozenset()
    for name in os.listdir(folder):
        if name.startswith(_PREFIX):
            with suppress(OSError):
                paths.update(_take(os.path.join(folder, name)))
    return frozenset(paths)


def _take(path: str) -> list[str]:
    descriptor = os.open(path, os.O_RDWR)
    try:
        if try_lock(descriptor) is False:  # its process lives; without such locks every record counts as a dead one's
            return []
        recorded = list(_parse(os.read(descriptor, _SLOT * _SLOTS)))
        os.remove(path)
        return recorded
    finally:
        os.close(descriptor)


def _parse(data: bytes) -> Iterator[str]:
    for start in range(0, len(data) - 1, _SLOT):
        length = int.from_bytes(data[start : start + 2], "big")
        if 0 < length <= _SLOT - 2:
            yield data[start + 2 : start + 2 + length].decode("utf-8", "surrogateescape")
