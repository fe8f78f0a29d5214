"""Child processes that decode uploads. One that crashes, hangs or eats memory is replaced; the server lives on."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lookalike.errors import BadQuery, ImageTooLarge, UnreadableImage
from lookalike.image.decoding.child import LENGTHS
from lookalike.image.decoding.guarded import child_command
from lookalike.server.service.batcher import Busy
from lookalike.types import RGB, Preprocessing

THUMBNAIL = 256
START_SECONDS = 60.0
MAX_WAITING = 16  # for each child: at a tenth of a second each nobody waits longer than some seconds
RECYCLED_AFTER = 5000  # requests; a codec that leaks is not ours to mend
VERBS = ("is ", "has ", "begins ", "holds ", "stops ", "takes ", "needs ", "was ", "cannot ")


@dataclass(frozen=True, slots=True)
class Upload:
    """One decoded upload: fitted to the model, its thumbnail, and what its header told."""

    fitted: RGB
    thumbnail: bytes
    facts: dict[str, Any]


class Decoders:
    """The pool. `restarts` counts children that had to be replaced because of what they were given."""

    def __init__(self, count: int, *, seconds: float, memory: int, max_pixels: int) -> None:
        self._count, self._seconds, self._memory, self.max_pixels = count, seconds, memory, max_pixels
        self._free: asyncio.Queue[_Child] = asyncio.Queue()
        self._children: list[_Child] = []
        self.restarts = 0
        self.waiting = 0

    async def start(self) -> None:
        self._children = [_Child(self._memory) for _ in range(self._count)]
        await asyncio.gather(*(child.start() for child in self._children))
        for child in self._children:
            self._free.put_nowait(child)

    async def stop(self) -> None:
        await asyncio.gather(*(child.end() for child in self._children))

    async def upload(
        self,
        data: bytes,
        preprocessing: Preprocessing,
        region: Sequence[float] | None = None,
        *,
        thumbnail: bool = False,
    ) -> Upload:
        """Decode an upload to the model's input. Raises UnreadableImage, ImageTooLarge, BadQuery."""
        asked = {
            "side": max(preprocessing.size),
            "preprocessing": asdict(preprocessing),
            "region": list(region) if region else None,
            "thumbnail": THUMBNAIL if thumbnail else 0,
        }
        facts, body = await self._ask(asked, data)
        shape = facts.pop("shape")
        size = int(np.prod(shape))
        return Upload(np.frombuffer(body[:size], np.uint8).reshape(shape), body[size:], facts)

    async def pixels(self, data: bytes, side: int, region: Sequence[float] | None = None) -> tuple[RGB, dict[str, Any]]:
        """The picture, or a part, reduced to about `side` along its short side, and its facts. Raises as `upload`."""
        facts, body = await self._ask({"side": side, "pixels": True, "region": list(region) if region else None}, data)
        return np.frombuffer(body, np.uint8).reshape(facts.pop("shape")), facts

    async def jpeg(self, data: bytes, side: int) -> bytes:
        """A picture as a JPEG whose long side is at most `side`. Raises as `upload`."""
        return (await self._ask({"side": side}, data))[1]

    async def _ask(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        if self.waiting >= MAX_WAITING * self._count:
            raise Busy("too many pictures wait to be decoded; try again in a moment")
        self.waiting += 1
        try:
            child = await self._free.get()
        finally:
            self.waiting -= 1
        try:
            return _checked(await self._answer(child, head | {"max_pixels": self.max_pixels}, data))
        finally:
            self._free.put_nowait(child)

    async def _answer(self, child: "_Child", head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        try:
            if not child.alive or child.served >= RECYCLED_AFTER:
                await child.renew()
            return await asyncio.wait_for(child.ask(head, data), self._seconds)
        except TimeoutError:
            reason = f"takes more than {self._seconds:g} seconds to decode; send a smaller one"
        except (asyncio.IncompleteReadError, ConnectionError, ValueError, OSError):
            reason = "made its decoder fail; send it in another format"
        except asyncio.CancelledError:
            child.kill()  # whoever asked is gone, and the answer under way must not reach the next
            raise
        self.restarts += 1
        child.kill()
        raise UnreadableImage(f"the picture {reason}")


def _checked(answer: tuple[dict[str, Any], bytes]) -> tuple[dict[str, Any], bytes]:
    head, _ = answer
    if (refused := head.get("refused")) is None:
        return answer
    kind = {"large": ImageTooLarge, "query": BadQuery}.get(refused, UnreadableImage)
    raise kind(head["reason"] if refused == "query" else _sentence(head["reason"]))


def _sentence(reason: str) -> str:
    """A reason as `image` gives it, which goes on after a file's name, said of what was sent."""
    if reason.startswith(VERBS):
        return f"the picture {reason}"
    return f"what was sent is {reason}" if reason.startswith("not a ") else f"the picture cannot be used: {reason}"


class _Child:
    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._process: asyncio.subprocess.Process | None = None
        self._killed = False
        self.served = 0

    @property
    def alive(self) -> bool:
        """Whether it can be asked; one that was killed may take a moment to be gone."""
        return self._process is not None and self._process.returncode is None and not self._killed

    async def start(self) -> None:
        command, options = child_command(self._memory)
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=2**20,
            **options,
        )
        self.served, self._killed = 0, False
        await asyncio.wait_for(self._read(), START_SECONDS)

    async def renew(self) -> None:
        await self.end()
        await self.start()

    async def ask(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        assert self._process is not None
        assert self._process.stdin is not None
        told = json.dumps(head).encode()
        self._process.stdin.write(LENGTHS.pack(len(told), len(data)) + told)
        self._process.stdin.write(data)
        await self._process.stdin.drain()
        self.served += 1
        return await self._read()

    async def _read(self) -> tuple[dict[str, Any], bytes]:
        assert self._process is not None
        assert self._process.stdout is not None
        head, body = LENGTHS.unpack(await self._process.stdout.readexactly(LENGTHS.size))
        told = json.loads(await self._process.stdout.readexactly(head))
        return told, await self._process.stdout.readexactly(body)

    def kill(self) -> None:
        if self.alive:
            assert self._process is not None
            self._killed = True
            with suppress(ProcessLookupError):
                self._process.kill()

    async def end(self) -> None:
        self.kill()
        if self._process is not None:
            await self._process.wait()
            # Its pipes hold their transport until the loop has seen them close.
            self._process._transport.close()  # type: ignore[attr-defined]
