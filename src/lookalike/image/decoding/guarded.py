"""Decoding in child processes: a decoder that dies, hangs or eats memory costs one file, and never the run.

JPEG, PNG and WebP that the fast readers take are decoded here, where it costs nothing; every other format, and whatever
those readers refuse, goes to a child, whose memory is limited and which is killed when it takes too long.
"""

import json
import os
import queue
import selectors
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from typing import Any, Self

import numpy as np

from lookalike.errors import ImageTooLarge, UnreadableImage
from lookalike.image.decoding.child import LENGTHS
from lookalike.image.decoding.decode import Picture, decode_frames
from lookalike.image.decoding.header import read_facts
from lookalike.image.decoding.limits import MEMORY_PER_PIXEL, Limits
from lookalike.image.decoding.readers import NotTrusted, is_trusted

SECONDS = 60.0  # for one file; the slowest honest one, a HEIC of 200 million pixels, takes 20
START_SECONDS = 60.0
BASE_MEMORY = 1200 * 2**20  # address space of a child with its libraries loaded
_LARGE_PIXELS = 20_000_000  # a decoded picture takes 3 bytes a pixel, several times over: large ones go one at a time
_CHUNK = 2**16
_KEPT = ("PATH", "LD_LIBRARY_PATH", "LANG", "SYSTEMROOT")
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class DecoderFailed(UnreadableImage):
    """The decoder died or took too long: with luck or another version it may not, so the file is tried again, last."""


def child_memory(max_pixels: int) -> int:
    """Bytes of address space that a child may use, to decode pictures of so many pixels."""
    return BASE_MEMORY + MEMORY_PER_PIXEL * max_pixels


def child_command(memory: int) -> tuple[list[str], dict[str, Any]]:
    """Command line and process options of a child; it inherits no secret from the environment."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT}
    paths = os.pathsep.join(path for path in sys.path if path)
    options = {
        "env": kept | {"PYTHONPATH": paths} | dict.fromkeys(_ONE_THREAD, "1"),
        "cwd": "/" if os.name == "posix" else None,
        "start_new_session": True,
    }
    return [sys.executable, "-m", "lookalike.image.decoding.child", str(memory)], options


class GuardedDecoder:
    """Decodes pictures for any number of threads. Children start when the first doubtful file comes; close it."""

    def __init__(self, limits: Limits, *, seconds: float = SECONDS) -> None:
        self.limits, self._seconds = limits, seconds
        self._free: queue.SimpleQueue[_Child] = queue.SimpleQueue()
        self._lock, self._one_large = threading.Lock(), threading.Lock()
        self._children: list[_Child] = []
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all children."""
        with self._lock:
            self._closed = True
            children, self._children = self._children, []
        while not self._free.empty():
            self._free.get().kill()
        for child in children:  # those at work: their threads find the pipes at an end, and close them
            child.end()

    def decode_frames(self, data: bytes, count: int, *, side: int | None, doubtful: bool = False) -> list[Picture]:
        """As `image.decode_frames`. `doubtful`: in a child whatever the format is. Raises as it, and DecoderFailed."""
        if not doubtful:
            try:
                with self._one_large if _is_large(data) else nullcontext():
                    return decode_frames(data, count, side=side, limits=self.limits, trusted=True)
            except NotTrusted:
                pass
        # The child is told no limit of bytes. Windows cannot wait for a pipe with a time limit.
        if len(data) > self.limits.max_bytes or os.name != "posix":
            return decode_frames(data, count, side=side, limits=self.limits)
        child = self._child()
        try:
            header = child.ask({"header": True}, data, self._seconds)[0]
            large = header["width"] * header["height"] > _LARGE_PIXELS
            asked = {"frames": count, "side": side, "max_pixels": self.limits.max_pixels, "same": True}
            with self._one_large if large else nullcontext():
                told, body = child.ask(asked, b"", self._seconds)
            return _pictures(told["pictures"], body)
        finally:
            self._put_back(child)

    def decode(self, data: bytes, *, side: int | None) -> Picture:
        """The first frame, as `decode_frames` gives it."""
        return self.decode_frames(data, 1, side=side)[0]

    def dynamic_range(self, data: bytes) -> str:
        """ "PQ" or "HLG" of a picture in high dynamic range, which is tone-mapped; else nothing."""
        if os.name != "posix":
            space = read_facts(data).space
            return space.high_dynamic_range if space else ""
        child = self._child()
        try:
            return str(child.ask({"header": True}, data, self._seconds)[0]["range"])
        finally:
            self._put_back(child)

    def _child(self) -> "_Child":
        while not self._free.empty():
            try:
                child = self._free.get_nowait()
            except queue.Empty:
                break
            if child.is_running():
                return child
            child.kill()
        with self._lock:
            if self._closed:
                raise DecoderFailed("was not decoded: the decoder is closed")
            try:
                child = _Child(child_memory(self.limits.max_pixels))
            except OSError as error:
                raise DecoderFailed(f"cannot be decoded at the moment ({error.strerror})") from error
            self._children = [one for one in self._children if one.alive] + [child]
        return child

    def _put_back(self, child: "_Child") -> None:
        with self._lock:
            if child.alive and not self._closed:
                self._free.put(child)
                return
        child.kill()


class _Child:
    def __init__(self, memory: int) -> None:
        command, options = child_command(memory)
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            **options,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        self._selector = selectors.DefaultSelector()
        self._ready = False
        self.alive = True

    def is_running(self) -> bool:
        """Whether it can be asked: one that was idle may have been ended by the system."""
        return self.alive and self._process.poll() is None

    def end(self) -> None:
        """End the process; whoever reads from it finds that out."""
        self._process.kill()
        self._process.wait()

    def kill(self) -> None:
        """End it, and wait until it is gone."""
        if self.alive:
            self.alive = False
            self._process.kill()
            self._process.wait()
            self._selector.close()
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                pipe.close()

    def ask(self, head: dict[str, Any], data: bytes, seconds: float) -> tuple[dict[str, Any], bytes]:
        """Its answer. Raises UnreadableImage, ImageTooLarge, DecoderFailed."""
        try:
            if not self._ready:
                self._read(time.monotonic() + START_SECONDS)
                self._ready = True
            told, body = self._ask(head | {"seconds": seconds}, data, time.monotonic() + seconds)
        except TimeoutError:
            self.kill()
            raise DecoderFailed(f"takes more than {seconds:g} seconds to decode") from None
        except OSError:
            self.kill()
            raise DecoderFailed(f"made its decoder fail ({_ended(self._process.returncode)})") from None
        except BaseException:  # Ctrl-C: the answer under way must not be taken for another file's
            self.kill()
            raise
        if "refused" in told:
            raise (ImageTooLarge if told["refused"] == "large" else UnreadableImage)(told["reason"])
        return told, body

    def _ask(self, head: dict[str, Any], data: bytes, deadline: float) -> tuple[dict[str, Any], bytes]:
        written = json.dumps(head).encode()
        for part in (LENGTHS.pack(len(written), len(data)) + written, data):
            view = memoryview(part)
            while view:
                self._wait(self._in, selectors.EVENT_WRITE, deadline)
                view = view[os.write(self._in, view[:_CHUNK]) :]
        return self._read(deadline)

    def _read(self, deadline: float) -> tuple[dict[str, Any], bytes]:
        head, body = LENGTHS.unpack(self._exactly(LENGTHS.size, deadline))
        return json.loads(self._exactly(head, deadline)), self._exactly(body, deadline)

    def _exactly(self, size: int, deadline: float) -> bytes:
        found = bytearray()
        while len(found) < size:
            self._wait(self._out, selectors.EVENT_READ, deadline)
            part = os.read(self._out, min(_CHUNK, size - len(found)))
            if not part:
                raise BrokenPipeError
            found += part
        return bytes(found)

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        self._selector.register(descriptor, event)
        try:
            if not self._selector.select(max(deadline - time.monotonic(), 0)):
                raise TimeoutError
        finally:
            self._selector.unregister(descriptor)


def _is_large(data: bytes) -> bool:
    """Whether a picture that is decoded here takes much memory; a JPEG is decoded reduced."""
    if not is_trusted(data):
        return False  # its own process looks after that
    header = read_facts(data).header
    return header.width * header.height > _LARGE_PIXELS and header.format != "JPEG"


def _ended(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"it ended with status {code}"
    try:
        return f"it was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was ended by signal {-code}"


def _pictures(told: list[dict[str, Any]], body: bytes) -> list[Picture]:
    pictures, at = [], 0
    for facts in told:
        shape = facts.pop("shape")
        size = int(np.prod(shape))
        image = np.frombuffer(body, np.uint8, size, at).reshape(shape)
        pictures.append(Picture(image=image, **facts))
        at += size
    return pictures
