"""A pool of child processes that decode uploads. A process that crashes, hangs or exhausts its memory is replaced."""

import asyncio
import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lookalike.errors import BadQuery, ImageTooLarge, UnreadableImage
from lookalike.image import decode_side
from lookalike.image.decoding.child import LENGTHS
from lookalike.image.decoding.guarded import child_command
from lookalike.server.service.batcher import Busy
from lookalike.server.service.child_log import ChildFailure, StderrTail
from lookalike.types import RGB, Preprocessing

log = logging.getLogger("lookalike.server")
THUMBNAIL = 256
START_SECONDS = 60.0
MAX_WAITING = 16  # per process: at a tenth of a second each, a request waits a few seconds at most
MAX_REQUESTS = 5000  # per process, to bound memory leaks of codecs
# The first words of reasons that continue "the image".
VERBS = (
    *("is ", "has ", "begins ", "holds ", "stops ", "takes ", "needs ", "was ", "cannot "),
    *("starts ", "contains ", "ends ", "exceeds ", "requires ", "does ", "declares ", "uses "),
)


@dataclass(frozen=True, slots=True)
class DecodedUpload:
    """A decoded upload: the model's input, a JPEG thumbnail, and the facts from its header."""

    fitted: RGB
    thumbnail: bytes
    facts: dict[str, Any]


class DecoderPool:
    """The pool. `restarts` counts processes replaced after a crash, a timeout or exhausted memory."""

    def __init__(self, count: int, *, seconds: float, memory: int, max_pixels: int) -> None:
        self._count, self._seconds, self._memory, self.max_pixels = count, seconds, memory, max_pixels
        self._idle: asyncio.Queue[_DecoderProcess] = asyncio.Queue()
        self._children: list[_DecoderProcess] = []
        self.restarts = 0
        self.waiting = 0

    async def start(self) -> None:
        self._children = [_DecoderProcess(self._memory) for _ in range(self._count)]
        await asyncio.gather(*(child.start() for child in self._children))
        for child in self._children:
            self._idle.put_nowait(child)

    async def stop(self) -> None:
        await asyncio.gather(*(child.terminate() for child in self._children))

    async def upload(
        self,
        data: bytes,
        preprocessing: Preprocessing,
        region: Sequence[float] | None = None,
        *,
        thumbnail: bool = False,
    ) -> DecodedUpload:
        """Decode an upload to the model's input. Raises UnreadableImage, ImageTooLarge, BadQuery."""
        request = {
            "side": decode_side(preprocessing),
            "preprocessing": asdict(preprocessing),
            "region": list(region) if region else None,
            "thumbnail": THUMBNAIL if thumbnail else 0,
        }
        facts, body = await self._request(request, data)
        shape = facts.pop("shape")
        size = int(np.prod(shape))
        return DecodedUpload(np.frombuffer(body[:size], np.uint8).reshape(shape), body[size:], facts)

    async def pixels(self, data: bytes, side: int, region: Sequence[float] | None = None) -> tuple[RGB, dict[str, Any]]:
        """Return the image or a region, its short side reduced to about `side`, and its facts. Raises as `upload`."""
        facts, body = await self._request(
            {"side": side, "pixels": True, "region": list(region) if region else None}, data
        )
        return np.frombuffer(body, np.uint8).reshape(facts.pop("shape")), facts

    async def jpeg(self, data: bytes, side: int) -> bytes:
        """Return a JPEG whose long side is at most `side`. Raises as `upload`."""
        return (await self._request({"side": side}, data))[1]

    async def _request(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        if self.waiting >= MAX_WAITING * self._count:
            raise Busy("too many images are waiting to be decoded; try again in a moment")
        self.waiting += 1
        try:
            child = await self._idle.get()
        finally:
            self.waiting -= 1
        try:
            return _raise_refusal(await self._exchange(child, head | {"max_pixels": self.max_pixels}, data))
        finally:
            self._idle.put_nowait(child)

    async def _exchange(
        self, child: "_DecoderProcess", head: dict[str, Any], data: bytes
    ) -> tuple[dict[str, Any], bytes]:
        try:
            if not child.alive or child.served >= MAX_REQUESTS:
                await child.restart()
            return await asyncio.wait_for(child.request(head, data), self._seconds)
        except TimeoutError:
            reason = f"takes more than {self._seconds:g} seconds to decode; send a smaller one"
        except (asyncio.IncompleteReadError, ConnectionError, ValueError, OSError):
            reason = "made its decoder fail; send it in another format"
        except asyncio.CancelledError:
            child.kill()  # the client has left; its pending response must not reach the next request
            raise
        self.restarts += 1
        child.kill()
        log.error("decoder failed: the image %s", reason, exc_info=await child.failure())
        raise UnreadableImage(f"the image {reason}")


def _raise_refusal(response: tuple[dict[str, Any], bytes]) -> tuple[dict[str, Any], bytes]:
    head, _ = response
    if traceback := head.get("traceback"):
        log.error("decoder failed", exc_info=ChildFailure(traceback))
    if (refused := head.get("refused")) is None:
        return response
    kind = {"large": ImageTooLarge, "query": BadQuery}.get(refused, UnreadableImage)
    raise kind(head["reason"] if refused == "query" else _sentence(head["reason"]))


def _sentence(reason: str) -> str:
    """Turn a reason of the image package, which continues a file name, into a sentence about the upload."""
    if reason.startswith(VERBS):
        return f"the image {reason}"
    return (
        f"the upload is {reason}" if reason.startswith(("not a ", "not an ")) else f"the image cannot be used: {reason}"
    )


class _DecoderProcess:
    """One child process; requests and responses are a JSON head and a body, each prefixed by their lengths."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._process: asyncio.subprocess.Process | None = None
        self._killed = False
        self._errors: StderrTail | None = None
        self.served = 0

    @property
    def alive(self) -> bool:
        """Return whether it accepts requests; a killed process may take a moment to end."""
        return self._process is not None and self._process.returncode is None and not self._killed

    async def start(self) -> None:
        command, options = child_command(self._memory)
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=2**20,
            **options,
        )
        assert self._process.stderr is not None
        self._errors = StderrTail(self._process.stderr)
        self.served, self._killed = 0, False
        await asyncio.wait_for(self._read(), START_SECONDS)

    async def failure(self) -> ChildFailure | None:
        """Return what the killed process wrote to stderr, for the log, or None if it wrote nothing."""
        text = await self._errors.text() if self._errors is not None else ""
        return ChildFailure(text) if text else None

    async def restart(self) -> None:
        await self.terminate()
        await self.start()

    async def request(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        assert self._process is not None
        assert self._process.stdin is not None
        encoded = json.dumps(head).encode()
        self._process.stdin.write(LENGTHS.pack(len(encoded), len(data)) + encoded)
        self._process.stdin.write(data)
        await self._process.stdin.drain()
        self.served += 1
        return await self._read()

    async def _read(self) -> tuple[dict[str, Any], bytes]:
        assert self._process is not None
        assert self._process.stdout is not None
        head_size, body_size = LENGTHS.unpack(await self._process.stdout.readexactly(LENGTHS.size))
        head = json.loads(await self._process.stdout.readexactly(head_size))
        return head, await self._process.stdout.readexactly(body_size)

    def kill(self) -> None:
        if self.alive:
            assert self._process is not None
            self._killed = True
            with suppress(ProcessLookupError):
                self._process.kill()

    async def terminate(self) -> None:
        self.kill()
        if self._process is not None:
            await self._process.wait()
            if self._errors is not None:
                self._errors.close()
            # The pipes keep the transport open until the event loop has seen them close.
            self._process._transport.close()  # type: ignore[attr-defined]
