"""Decode in child processes: a decoder that crashes, hangs or exhausts memory costs one file, never the whole run.

JPEG, PNG and WebP files that the fast readers accept are decoded in this process, without overhead. Every other format,
and whatever those readers reject, is decoded in a child process with limited memory, which is killed on a timeout.
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
from lookalike.image.decoding.decode import DecodedImage, decode_frames
from lookalike.image.decoding.header import read_encoding
from lookalike.image.decoding.limits import MEMORY_PER_PIXEL, Limits
from lookalike.image.decoding.readers import NotTrusted, is_trusted

SECONDS = 60.0  # per file; the slowest valid one, a HEIC of 200 million pixels, takes 20
START_SECONDS = 60.0
BASE_MEMORY = 1200 * 2**20  # address space of a child with its libraries loaded
_LARGE_PIXELS = 20_000_000  # larger images are decoded one at a time: each takes 3 bytes a pixel, several times over
_CHUNK = 2**16
_PASSED_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LANG", "SYSTEMROOT")
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class DecoderFailed(UnreadableImage):
    """The decoder crashed or timed out. Another attempt may succeed, so the next run retries the file last."""


def child_memory(max_pixels: int) -> int:
    """Return the address space in bytes that a child may use to decode images of up to `max_pixels`."""
    return BASE_MEMORY + MEMORY_PER_PIXEL * max_pixels


def child_command(memory: int) -> tuple[list[str], dict[str, Any]]:
    """Return the command line and Popen options of a child; only harmless environment variables are passed on."""
    environment = {name: value for name, value in os.environ.items() if name in _PASSED_VARIABLES}
    paths = os.pathsep.join(path for path in sys.path if path)
    options = {
        "env": environment | {"PYTHONPATH": paths} | dict.fromkeys(_ONE_THREAD, "1"),
        "cwd": "/" if os.name == "posix" else None,
        "start_new_session": True,
    }
    return [sys.executable, "-m", "lookalike.image.decoding.child", str(memory)], options


class GuardedDecoder:
    """Decodes images for any number of threads.

    Child processes start with the first file that needs one. Call `close`, or use it as a context manager.
    """

    def __init__(self, limits: Limits, *, seconds: float = SECONDS) -> None:
        self.limits, self._seconds = limits, seconds
        self._idle: queue.SimpleQueue[_ChildProcess] = queue.SimpleQueue()
        self._lock, self._large_lock = threading.Lock(), threading.Lock()
        self._children: list[_ChildProcess] = []
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Terminate all child processes."""
        with self._lock:
            self._closed = True
            children, self._children = self._children, []
        while not self._idle.empty():
            self._idle.get().kill()
        for child in children:  # busy children: their threads see the end of the pipe and clean up
            child.end()

    def decode_frames(self, data: bytes, count: int, *, side: int | None, doubtful: bool = False) -> list[DecodedImage]:
        """Decode like `image.decode_frames`; also raises DecoderFailed. `doubtful`: use a child for any format."""
        if not doubtful:
            try:
                with self._large_lock if _is_large(data) else nullcontext():
                    return decode_frames(data, count, side=side, limits=self.limits, trusted=True)
            except NotTrusted:
                pass
        # The child does not check max_bytes. On Windows, pipes cannot be read with a timeout.
        if len(data) > self.limits.max_bytes or os.name != "posix":
            return decode_frames(data, count, side=side, limits=self.limits)
        child = self._acquire()
        try:
            header = child.request({"header": True}, data, self._seconds)[0]
            large = header["width"] * header["height"] > _LARGE_PIXELS
            request = {"frames": count, "side": side, "max_pixels": self.limits.max_pixels, "same": True}
            with self._large_lock if large else nullcontext():
                response, body = child.request(request, b"", self._seconds)
            return _images(response["pictures"], body)
        finally:
            self._release(child)

    def decode(self, data: bytes, *, side: int | None) -> DecodedImage:
        """Decode the first frame like `decode_frames`."""
        return self.decode_frames(data, 1, side=side)[0]

    def dynamic_range(self, data: bytes) -> str:
        """Return "PQ" or "HLG" for an image in high dynamic range, which is tone-mapped; otherwise ""."""
        if os.name != "posix":
            space = read_encoding(data).space
            return space.high_dynamic_range if space else ""
        child = self._acquire()
        try:
            return str(child.request({"header": True}, data, self._seconds)[0]["range"])
        finally:
            self._release(child)

    def _acquire(self) -> "_ChildProcess":
        while not self._idle.empty():
            try:
                child = self._idle.get_nowait()
            except queue.Empty:
                break
            if child.is_running():
                return child
            child.kill()
        with self._lock:
            if self._closed:
                raise DecoderFailed("was not decoded: the decoder is closed")
            try:
                child = _ChildProcess(child_memory(self.limits.max_pixels))
            except OSError as error:
                raise DecoderFailed(f"cannot be decoded at the moment ({error.strerror}); try again later") from error
            self._children = [*(known for known in self._children if known.alive), child]
        return child

    def _release(self, child: "_ChildProcess") -> None:
        with self._lock:
            if child.alive and not self._closed:
                self._idle.put(child)
                return
        child.kill()


class _ChildProcess:
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
        """Return whether the child can serve a request; the system may have killed it while idle."""
        return self.alive and self._process.poll() is None

    def end(self) -> None:
        """Terminate the process; a thread that reads from it sees the end of the pipe."""
        self._process.kill()
        self._process.wait()

    def kill(self) -> None:
        """Terminate the process, wait for its end, and close the pipes."""
        if self.alive:
            self.alive = False
            self._process.kill()
            self._process.wait()
            self._selector.close()
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                pipe.close()

    def request(self, head: dict[str, Any], data: bytes, seconds: float) -> tuple[dict[str, Any], bytes]:
        """Send a request and return the response. Raises UnreadableImage, ImageTooLarge, DecoderFailed."""
        try:
            if not self._ready:
                self._read(time.monotonic() + START_SECONDS)
                self._ready = True
            response, body = self._exchange(head | {"seconds": seconds}, data, time.monotonic() + seconds)
        except TimeoutError:
            self.kill()
            raise DecoderFailed(f"takes more than {seconds:g} seconds to decode") from None
        except OSError:
            self.kill()
            raise DecoderFailed(f"crashed its decoder ({_exit_description(self._process.returncode)})") from None
        except BaseException:  # Ctrl-C: the pending response must not be mistaken for that of another file
            self.kill()
            raise
        if "refused" in response:
            raise (ImageTooLarge if response["refused"] == "large" else UnreadableImage)(response["reason"])
        return response, body

    def _exchange(self, head: dict[str, Any], data: bytes, deadline: float) -> tuple[dict[str, Any], bytes]:
        header = json.dumps(head).encode()
        for part in (LENGTHS.pack(len(header), len(data)) + header, data):
            view = memoryview(part)
            while view:
                self._wait(self._in, selectors.EVENT_WRITE, deadline)
                view = view[os.write(self._in, view[:_CHUNK]) :]
        return self._read(deadline)

    def _read(self, deadline: float) -> tuple[dict[str, Any], bytes]:
        head, body = LENGTHS.unpack(self._read_exactly(LENGTHS.size, deadline))
        return json.loads(self._read_exactly(head, deadline)), self._read_exactly(body, deadline)

    def _read_exactly(self, size: int, deadline: float) -> bytes:
        received = bytearray()
        while len(received) < size:
            self._wait(self._out, selectors.EVENT_READ, deadline)
            part = os.read(self._out, min(_CHUNK, size - len(received)))
            if not part:
                raise BrokenPipeError
            received += part
        return bytes(received)

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        self._selector.register(descriptor, event)
        try:
            if not self._selector.select(max(deadline - time.monotonic(), 0)):
                raise TimeoutError
        finally:
            self._selector.unregister(descriptor)


def _is_large(data: bytes) -> bool:
    """Return whether an image decoded in this process takes much memory; JPEGs do not, as they are decoded reduced."""
    if not is_trusted(data):
        return False  # it is decoded in a child, which has its own limit
    header = read_encoding(data).header
    return header.width * header.height > _LARGE_PIXELS and header.format != "JPEG"


def _exit_description(code: int) -> str:
    """Describe the exit of a process."""
    if code >= 0:
        return f"it ended with status {code}"
    try:
        return f"it was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was ended by signal {-code}"


def _images(frames: list[dict[str, Any]], body: bytes) -> list[DecodedImage]:
    """Build the images of a response from the properties of its frames and their pixels."""
    images, at = [], 0
    for properties in frames:
        shape = properties.pop("shape")
        size = int(np.prod(shape))
        image = np.frombuffer(body, np.uint8, size, at).reshape(shape)
        images.append(DecodedImage(image=image, **properties))
        at += size
    return images
