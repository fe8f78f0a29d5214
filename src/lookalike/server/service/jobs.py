"""Long-running jobs: each runs in its own low-priority process and reports its progress."""

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from lookalike.server.http.responses import json_of
from lookalike.server.process.settings import Settings
from lookalike.server.service.child_log import ChildFailure, StderrTail
from lookalike.server.service.job_records import ENDED, PROCESS_ENDED, JobRecord, JobRecords

log = logging.getLogger("lookalike.server")
POLL_SECONDS = 0.25
STOP_SECONDS = 20.0  # how long interrupted jobs may take to stop
KILL_SECONDS = 5.0


class JobRunner:
    """Starts, stops and lists the jobs of a server."""

    def __init__(self, settings: Settings, folder: str) -> None:
        self._settings, self.records = settings, JobRecords(Path(folder) / "jobs")
        self._tasks: set[asyncio.Task[None]] = set()
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._interrupted: set[str] = set()
        self._interrupted_at: float | None = None  # all of them

    async def start(self, kind: str, *arguments: str) -> JobRecord:
        """Start a job. `arguments` are passed to its function in job_process.py. Raises JobRunning."""
        job = self.records.claim(kind)
        name = str(job["job"])
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "lookalike.server.service.job_process",
                kind,
                self._settings.uri,
                *arguments,
                stdin=asyncio.subprocess.PIPE,  # ends with this process, which stops the job
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(self.records.lock_of(name),),
                start_new_session=True,
                limit=2**24,
            )
        except BaseException:
            self.records.write(job | {"state": "failed", "message": "its process could not be started"})
            self.records.release(name)
            raise
        self._processes[name] = process
        task = asyncio.create_task(self._follow(job, process))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    def stop(self, name: str) -> JobRecord:
        """Stop a job after its current batch, keeping completed work. Its worker polls for the request."""
        job = self.records.get(name)
        if job["state"] == "running":
            self.records.request_stop(name)
        return job

    async def events(self, name: str) -> AsyncIterator[str]:
        """Yield the job as server-sent events, one per change; the last when it has ended."""
        previous = None
        while True:
            job = self.records.get(name)
            if job != previous:
                previous = job
                yield f"event: {'end' if job['state'] in ENDED else 'progress'}\ndata: {json_of(job).decode()}\n\n"
            if job["state"] in ENDED:
                return
            await asyncio.sleep(POLL_SECONDS)

    def interrupt(self) -> None:
        """Ask this worker's jobs to stop; the next job of the same kind continues their work."""
        if self._interrupted_at is None:
            self._interrupted_at = time.monotonic()
        for name in list(self._processes):
            self._interrupt(name)

    async def close(self) -> None:
        """Interrupt this worker's jobs and wait for them; end those that do not stop in time."""
        self.interrupt()
        assert self._interrupted_at is not None
        await self._wait(self._interrupted_at + STOP_SECONDS - time.monotonic())
        for process in self._processes.values():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # with the processes that it started
        await self._wait(KILL_SECONDS)

    def _interrupt(self, name: str) -> None:
        """Interrupt a job, once: to signal a process that has ended would take its exit status from asyncio."""
        process = self._processes[name]
        if name not in self._interrupted and process.returncode is None:
            self._interrupted.add(name)
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)

    async def _wait(self, seconds: float) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(seconds, 0.0))

    async def _follow(self, job: JobRecord, process: asyncio.subprocess.Process) -> None:
        """Record what the process of a job reports until it has ended."""
        name = str(job["job"])
        watch = asyncio.create_task(self._watch(name, process))
        assert process.stdout is not None
        assert process.stderr is not None
        errors, reason = StderrTail(process.stderr), ""
        try:
            async for line in process.stdout:
                report = _report_in(line)
                reason = report.pop("reason", reason)
                job |= report
                self.records.write(job)
            await process.wait()
            output = await errors.text()
            if job["state"] == "running":
                output = f"{output}\nexit status {process.returncode}".lstrip()
                # The signal may come before the process handles it, or be followed by one that nothing handles.
                stopped = name in self._interrupted
                job |= {"state": "stopped"} if stopped else {"state": "failed", "message": PROCESS_ENDED}
                self.records.write(job)
        finally:
            watch.cancel()
            self.records.release(name)
            self._processes.pop(name, None)
            self._interrupted.discard(name)
        if job["state"] == "failed":
            _log_failure(job, reason, output)

    async def _watch(self, name: str, process: asyncio.subprocess.Process) -> None:
        """Interrupt the process once any worker has requested it."""
        while process.returncode is None:
            if self.records.take_stop_request(name):
                self._interrupt(name)
            await asyncio.sleep(POLL_SECONDS)


def _report_in(line: bytes) -> JobRecord:
    """Return what a job reports in a line of its output; nothing if a library wrote the line."""
    with suppress(ValueError):
        report = json.loads(line)
        if isinstance(report, dict):
            return report
    return {}


def _log_failure(job: JobRecord, reason: str, output: str) -> None:
    """Log a failed job: with its `reason` if it is one to expect, else with the output of its process."""
    fields: dict[str, Any] = {"job": job["job"], "kind": job["kind"]}
    if reason:
        log.warning("job failed", extra={"fields": fields | {"reason": reason}})
    else:
        log.error("job failed", exc_info=ChildFailure(output) if output else None, extra={"fields": fields})
