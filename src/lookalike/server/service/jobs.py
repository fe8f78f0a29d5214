"""Long work while serving: in a process of its own, at low priority, its progress told to whoever listens."""

import asyncio
import json
import os
import re
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from lookalike.errors import LookalikeError, UnknownId
from lookalike.server.http.responses import json_of
from lookalike.server.process.settings import Settings

_NAME = re.compile(r"[0-9a-f]{8}")
LOOK_SECONDS = 0.25
KEPT = 50
OVER = ("done", "failed", "stopped")


class JobRunning(LookalikeError):
    """One job at a time: two would do the same work."""


class Jobs:
    """Jobs of all workers of this server; each is a small file in their folder, written by the worker that runs it."""

    def __init__(self, settings: Settings, folder: str) -> None:
        self._settings, self._folder = settings, Path(folder) / "jobs"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, kind: str, *arguments: str) -> dict[str, Any]:
        """Begin one. `arguments`: what its function in work.py takes beyond the collection. Raises JobRunning."""
        if running := [job for job in self.all() if job["state"] == "running"]:
            raise JobRunning(f"the job {running[0]['job']} is under way; wait for it, or stop it with DELETE")
        job = {"job": uuid.uuid4().hex[:8], "kind": kind, "state": "running", "done": 0, "total": 0, "message": ""}
        self._write(job)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "lookalike.server.service.job_process",
            kind,
            self._settings.uri,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            limit=2**24,
        )
        self._processes[str(job["job"])] = process
        task = asyncio.create_task(self._follow(job, process))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    def all(self) -> list[dict[str, Any]]:
        """The latest first."""
        files = sorted(self._folder.glob("*.json"), key=lambda p: p.stat().st_mtime_ns, reverse=True)
        for old in files[KEPT:]:
            old.unlink(missing_ok=True)
        found = [self._read(place) for place in files[:KEPT]]
        return [job for job in found if job is not None]

    def get(self, name: str) -> dict[str, Any]:
        """Raises UnknownId."""
        job = self._read(self._folder / f"{name}.json") if _NAME.fullmatch(name) else None
        if job is None:
            raise UnknownId(f"there is no job {name[:40]!r}; /v1/jobs lists them")
        return job

    def stop(self, name: str) -> dict[str, Any]:
        """Ask a job to end after its current batch; all that it did is kept. Whichever worker runs it sees the mark."""
        job = self.get(name)
        if job["state"] == "running":
            (self._folder / f"{name}.stop").touch()
        return job

    async def events(self, name: str) -> AsyncIterator[str]:
        """The job as server-sent events: one for each change, the last when it is over."""
        told = None
        while True:
            job = self.get(name)
            if job != told:
                told = job
                yield f"event: {'end' if job['state'] in OVER else 'progress'}\ndata: {json_of(job).decode()}\n\n"
            if job["state"] in OVER:
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def close(self) -> None:
        """The server ends: its jobs end in order, and go on with the next."""
        for process in self._processes.values():
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGINT)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=20)

    async def _follow(self, job: dict[str, Any], process: asyncio.subprocess.Process) -> None:
        watch = asyncio.create_task(self._watch(str(job["job"]), process))
        assert process.stdout is not None
        async for line in process.stdout:
            with suppress(ValueError):
                job |= json.loads(line)
                self._write(job)
        await process.wait()
        watch.cancel()
        if job["state"] == "running":
            job |= {"state": "failed", "message": "its process ended before its time; start it again"}
            self._write(job)
        self._processes.pop(str(job["job"]), None)

    async def _watch(self, name: str, process: asyncio.subprocess.Process) -> None:
        """A stop may be asked of any worker."""
        mark = self._folder / f"{name}.stop"
        while process.returncode is None:
            if mark.exists():
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGINT)
                mark.unlink(missing_ok=True)
            await asyncio.sleep(LOOK_SECONDS)

    def _write(self, job: dict[str, Any]) -> None:
        place = self._folder / f"{job['job']}.json"
        with suppress(OSError):  # a full disk: the job itself will say so
            place.with_suffix(f".{os.getpid()}").write_text(json.dumps({"report": None} | job))
            place.with_suffix(f".{os.getpid()}").replace(place)

    def _read(self, place: Path) -> dict[str, Any] | None:
        try:
            job: dict[str, Any] = json.loads(place.read_text())
        except (OSError, ValueError):
            return None
        return job
