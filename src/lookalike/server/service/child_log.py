"""What child processes write to stderr: kept for the server's log, never for a response."""

import asyncio
from contextlib import suppress

MAX_BYTES = 16 * 1024  # the end of a traceback, which names the error, is what is kept
EOF_SECONDS = 2.0  # a process that the child started may hold its stderr open


class ChildFailure(Exception):
    """The failure of a child process; its message is what the process wrote to stderr. For the log only."""


class StderrTail:
    """Reads a stream to its end, so that its writer never blocks, and keeps the last `MAX_BYTES`."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream, self._tail = stream, b""
        self._task = asyncio.create_task(self._read())

    async def text(self) -> str:
        """Return what was kept, after the stream has ended or `EOF_SECONDS` have passed."""
        await asyncio.wait({self._task}, timeout=EOF_SECONDS)
        self.close()
        return self._tail.decode("utf-8", "replace").strip()

    def close(self) -> None:
        """Stop reading."""
        self._task.cancel()

    async def _read(self) -> None:
        with suppress(OSError):
            while block := await self._stream.read(MAX_BYTES):
                self._tail = (self._tail + block)[-MAX_BYTES:]
