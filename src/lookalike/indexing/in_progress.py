"""Which files are being decoded, noted so that it outlives a crash: memory shared with a small file beside the rows.

A decoder that takes the whole process with it leaves its file's path behind; the next run holds it back to the last and
decodes it in a process of its own. A note is locked for as long as its process lives, on whatever machine.
"""

import mmap
import os
import secrets
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from lookalike.indexing.file_lock import try_lock

_SLOT: Final = 4096  # bytes: a path of the longest that systems allow, and its length
_SLOTS: Final = 64  # files that can be noted at a time; further ones go unnoted
_PREFIX: Final = "in-hand-"


class InHand:
    """The files under way in this run. `folder`: where that is noted; None: nowhere.

    `kept`: files noted by runs that died, which stay noted until they were `settled`.
    """

    def __init__(self, folder: str | None = None, kept: Collection[str] = ()) -> None:
        self._path = None if folder is None else os.path.join(folder, f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}")
        self._map: mmap.mmap | None = None
        self._descriptor = -1
        self._free = list(range(_SLOTS))
        self._kept: dict[str, int] = {}
        self._lock = threading.Lock()
        for path in list(kept)[: _SLOTS // 2]:
            if (slot := self._note(path)) is not None:
                self._kept[path] = slot

    @contextmanager
    def holding(self, path: str) -> Iterator[None]:
        """Note a file for as long as it is decoded; then it is settled, however it ended."""
        slot = self._note(path)
        try:
            yield
        finally:
            self._strike(slot)
            self._strike(self._kept.pop(path, None))

    def close(self) -> None:
        """Note that nothing is under way any more; what was kept and not settled stays noted."""
        with self._lock:
            path, self._path = self._path, None
            if self._map is not None:
                self._map.close()
                self._map = None
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
                if path is not None and not self._kept:
                    with suppress(OSError):
                        os.remove(path)

    def _note(self, path: str) -> int | None:
        name = path.encode("utf-8", "surrogateescape")[: _SLOT - 2]
        with self._lock:
            if self._path is None or (self._map is None and not self._begin()) or not self._free:
                return None
            assert self._map is not None
            slot = self._free.pop()
            start = slot * _SLOT
            self._map[start + 2 : start + 2 + len(name)] = name
            self._map[start : start + 2] = len(name).to_bytes(2, "big")
            return slot

    def _strike(self, slot: int | None) -> None:
        if slot is None:
            return
        with self._lock:
            if self._map is not None:
                self._map[slot * _SLOT : slot * _SLOT + 2] = b"\0\0"
            self._free.append(slot)

    def _begin(self) -> bool:
        assert self._path is not None
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            # Written, not only sized: on a full disk a hole would end us with a signal when it is filled.
            os.write(self._descriptor, bytes(_SLOT * _SLOTS))
            try_lock(self._descriptor)
            self._map = mmap.mmap(self._descriptor, _SLOT * _SLOTS)
        except (OSError, ValueError):  # a full disk, or a place that cannot be written to: then nothing is noted
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
                with suppress(OSError):
                    os.remove(self._path)
            self._path = None
            return False
        return True


def take_left_in_hand(folder: str | None) -> frozenset[str]:
    """The files that were under way when earlier runs died; their notes are taken away."""
    found: set[str] = set()
    if folder is None or not os.path.isdir(folder):
        return frozenset()
    for name in os.listdir(folder):
        if name.startswith(_PREFIX):
            with suppress(OSError):
                found.update(_taken(os.path.join(folder, name)))
    return frozenset(found)


def _taken(path: str) -> list[str]:
    descriptor = os.open(path, os.O_RDWR)
    try:
        if try_lock(descriptor) is False:  # its process lives; without such locks every note is a dead one's
            return []
        noted = list(_noted(os.read(descriptor, _SLOT * _SLOTS)))
        os.remove(path)
        return noted
    finally:
        os.close(descriptor)


def _noted(data: bytes) -> Iterator[str]:
    for start in range(0, len(data) - 1, _SLOT):
        length = int.from_bytes(data[start : start + 2], "big")
        if 0 < length <= _SLOT - 2:
            yield data[start + 2 : start + 2 + length].decode("utf-8", "surrogateescape")
