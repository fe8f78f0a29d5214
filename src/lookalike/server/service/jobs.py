"""Long-running jobs: each runs in its own low-priority process and reports its progress."""

import asyncio
import json
import logging
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
from lookalike.indexing.file_lock import try_lock
from lookalike.server.http.responses import json_of
from lookalike.server.process.settings import Settings
from lookalike.server.service.child_log import ChildFailure, StderrTail

log = logging.getLogger("lookalike.server")
_JOB_ID = re.compile(r"[0-9a-f]{8}")
POLL_SECONDS = 0.25
MAX_RECORDS = 50
ENDED = ("done", "failed", "stopped")


class JobRunning(LookalikeError):
    """Another job is running; only one runs at a time."""


class JobRunner:
    """Starts and lists the jobs of a server. Each job is a small file in the folder shared by all workers."""

    def __init__(self, settings: Settings, folder: str) -> None:
        self._settings, self._folder = settings, Path(folder) / "jobs"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, kind: str, *arguments: str) -> dict[str, Any]:
        """Start a job. `arguments` are passed to its function in job_process.py. Raises JobRunning."""
        job = self._claim(kind)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "lookalike.server.service.job_process",
            kind,
            self._settings.uri,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=2**24,
        )
        self._processes[str(job["job"])] = process
        task = asyncio.create_task(self._follow(job, process))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    def _claim(self, kind: str) -> dict[str, Any]:
        """Check that no job is running and record a new one, in one step with respect to other workers."""
        with (self._folder / "lock").open("wb") as lock:
            if try_lock(lock) is False:  # None where the system has no file locks
                raise JobRunning("another job is being started; wait for it, or stop it with DELETE")
            if running := [job for job in self.all() if job["state"] == "running"]:
                raise JobRunning(f"the job {running[0]['job']} is running; wait for it, or stop it with DELETE")
            job = {"job": uuid.uuid4().hex[:8], "kind": kind, "state": "running", "done": 0, "total": 0, "message": ""}
            self._write(job)
        return job

    def all(self) -> list[dict[str, Any]]:
        """Return all jobs, newest first."""
        files = sorted(self._folder.glob("*.json"), key=lambda p: p.stat().st_mtime_ns, reverse=True)
        for old in files[MAX_RECORDS:]:
            old.unlink(missing_ok=True)
        jobs = [self._read(path) for path in files[:MAX_RECORDS]]
        return [job for job in jobs if job is not None]

    def get(self, name: str) -> dict[str, Any]:
        """Return one job. Raises UnknownId."""
        job = self._read(self._folder / f"{name}.json") if _JOB_ID.fullmatch(name) else None
        if job is None:
            raise UnknownId(f"there is no job {name[:40]!r}; /v1/jobs lists them")
        return job

    def stop(self, name: str) -> dict[str, Any]:
        """Stop a job after its current batch, keeping completed work. Its worker polls for the stop file."""
        job = self.get(name)
        if job["state"] == "running":
            (self._folder / f"{name}.stop").touch()
        return job

    async def events(self, name: str) -> AsyncIterator[str]:
        """Yield the job as server-sent events, one per change; the last when it has ended."""
        previous = None
        while True:
            job = self.get(name)
            if job != previous:
                previous = job
                yield f"event: {'end' if job['state'] in ENDED else 'progress'}\ndata: {json_of(job).decode()}\n\n"
            if job["state"] in ENDED:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def close(self) -> None:
        """Interrupt the running jobs; the next job of the same kind continues their work."""
        for process in self._processes.values():
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGINT)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=20)

    async def _follow(self, job: dict[str, Any], process: asyncio.subprocess.Process) -> None:
        watch = asyncio.create_task(self._watch(str(job["job"]), process))
        assert process.stdout is not None
        assert process.stderr is not None
        errors = StderrTail(process.stderr)
        async for line in process.stdout:
            with suppress(ValueError):
                job |= json.loads(line)
                self._write(job)
        await process.wait()
        watch.cancel()
        output = await errors.text()
        if job["state"] == "running":
            output = f"{output}\nexit status {process.returncode}".lstrip()
            job |= {"state": "failed", "message": "its process ended unexpectedly; start it again"}
            self._write(job)
        if job["state"] == "failed":
            fields = {"job": job["job"], "kind": job["kind"]}
            log.error("job failed", exc_info=ChildFailure(output) if output else None, extra={"fields": fields})
        self._processes.pop(str(job["job"]), None)

    async def _watch(self, name: str, process: asyncio.subprocess.Process) -> None:
        """Interrupt the process once any worker has created the stop file."""
        stop_file = self._folder / f"{name}.stop"
        while process.returncode is None:
            if stop_file.exists():
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGINT)
                stop_file.unlink(missing_ok=True)
            await asyncio.sleep(POLL_SECONDS)

    def _write(self, job: dict[str, Any]) -> None:
        path = self._folder / f"{job['job']}.json"
        with suppress(OSError):  # if the disk is full, the job itself reports it
            path.with_suffix(f".{os.getpid()}").write_text(json.dumps({"report": None} | job))
            path.with_suffix(f".{os.getpid()}").replace(path)

    def _read(self, path: Path) -> dict[str, Any] | None:
        try:
            job: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError):
            return None
        return job
