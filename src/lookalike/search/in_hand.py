"""Which files are being decoded, noted so that it outlives a crash: memory shared with a small file beside the rows.

A decoder that takes the whole process with it leaves its file's path behind; the next run holds it back to the last and
decodes it in a process of its own.
"""

import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_SLOT: Final = 4096  # bytes: a path of the longest that systems allow, and its length
_SLOTS: Final = 64  # threads that decode at a time; further ones go unnoted
_PREFIX: Final = "in-hand-"


class InHand:
    """The files under way in this process. `folder`: where that is noted; None: nowhere."""

    def __init__(self, folder: str | None = None) -> None:
        self._path = None if folder is None else os.path.join(folder, f"{_PREFIX}{os.getpid()}")
        self._map: mmap.mmap | None = None
        self._free = list(range(_SLOTS))
        self._lock = threading.Lock()

    @contextmanager
    def holding(self, path: str) -> Iterator[None]:
        """Note a file for as long as it is decoded."""
        slot = self._take()
        if slot is None:
            yield
            return
        assert self._map is not None
        name = path.encode("utf-8", "surrogateescape")[: _SLOT - 2]
        start = slot * _SLOT
        self._map[start + 2 : start + 2 + len(name)] = name
        self._map[start : start + 2] = len(name).to_bytes(2, "big")
        try:
            yield
        finally:
            with self._lock:
                if self._map is not None:
                    self._map[start : start + 2] = b"\0\0"
                self._free.append(slot)

    def close(self) -> None:
        """Note that nothing is under way any more."""
        with self._lock:
            if self._map is not None:
                self._map.close()
                self._map = None
                with suppress(OSError):
                    os.remove(str(self._path))

    def _take(self) -> int | None:
        if self._path is None:
            return None
        with self._lock:
            if self._map is None and not self._begin():
                return None
            return self._free.pop() if self._free else None

    def _begin(self) -> bool:
        assert self._path is not None
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                # Written, not only sized: on a full disk a hole would end us with a signal when it is filled.
                os.write(descriptor, bytes(_SLOT * _SLOTS))
                self._map = mmap.mmap(descriptor, _SLOT * _SLOTS)
            finally:
                os.close(descriptor)
        except (OSError, ValueError):  # a full disk, or a place that cannot be written to: then nothing is noted
            self._path = None
            return False
        return True


def take_left_in_hand(folder: str | None) -> frozenset[str]:
    """The files that were under way when earlier runs on this machine died; they are forgotten by that."""
    found: set[str] = set()
    if folder is None or not os.path.isdir(folder):
        return frozenset()
    for name in os.listdir(folder):
        number = name.removeprefix(_PREFIX)
        if name.startswith(_PREFIX) and number.isdecimal() and not _is_running(int(number)):
            with suppress(OSError):
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    found.update(_noted(file.read(_SLOT * _SLOTS)))
                os.remove(path)
    return frozenset(found)


def _noted(data: bytes) -> Iterator[str]:
    for start in range(0, len(data) - 1, _SLOT):
        length = int.from_bytes(data[start : start + 2], "big")
        if 0 < length <= _SLOT - 2:
            yield data[start + 2 : start + 2 + length].decode("utf-8", "surrogateescape")


def _is_running(process: int) -> bool:
    if process == os.getpid():
        return False  # its number was given to us
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
