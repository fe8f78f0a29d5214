"""The records of jobs: one small file per job in the folder shared by all workers, and a lock while its job runs."""

import json
import os
import re
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from lookalike.errors import LookalikeError, UnknownId
from lookalike.file_lock import try_lock

JobRecord: TypeAlias = dict[str, Any]
_JOB_ID = re.compile(r"[0-9a-f]{8}")
MAX_RECORDS = 50
ENDED = ("done", "failed", "stopped")
PROCESS_ENDED = "its process ended unexpectedly; start it again"


class JobRunning(LookalikeError):
    """Another job is running; only one runs at a time."""


class JobRecords:
    """The jobs of all workers of a server.

    The worker that starts a job and the process of the job hold the job's lock together, so the system releases it
    when both have ended, in whatever way. A record that says "running" while nobody holds its lock is that of a dead
    job, and whoever reads it marks it as failed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._locks: dict[str, int] = {}  # descriptors of this worker's jobs

    def claim(self, kind: str) -> JobRecord:
        """Check that no job is running and record a new one, in one step with respect to other workers.

        The caller must `release` it. Raises JobRunning.
        """
        with (self._folder / "lock").open("wb") as lock:
            if try_lock(lock) is False:  # None where the system has no file locks
                raise JobRunning("another job is being started; wait for it, or stop it with DELETE")
            if running := [job for job in self.all() if job["state"] == "running"]:
                raise JobRunning(f"the job {running[0]['job']} is running; wait for it, or stop it with DELETE")
            name = uuid.uuid4().hex[:8]
            job = {"job": name, "kind": kind, "state": "running", "done": 0, "total": 0, "message": ""}
            # Locked before others can see the record.
            self._locks[name] = os.open(self._path(name, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
            try_lock(self._locks[name])
            self.write(job)
        return job

    def lock_of(self, name: str) -> int:
        """Return the descriptor of the lock of one of this worker's jobs, for its process to inherit."""
        return self._locks[name]

    def release(self, name: str) -> None:
        """Release the lock of one of this worker's jobs, after its last state was written."""
        os.close(self._locks.pop(name))

    def write(self, job: JobRecord) -> None:
        path = self._path(job["job"], "json")
        with suppress(OSError):  # if the disk is full, the job itself reports it
            path.with_suffix(f".{os.getpid()}").write_text(json.dumps({"report": None} | job))
            path.with_suffix(f".{os.getpid()}").replace(path)

    def all(self) -> list[JobRecord]:
        """Return all jobs, newest first."""
        files = sorted(self._folder.glob("*.json"), key=lambda p: p.stat().st_mtime_ns, reverse=True)
        for old in files[MAX_RECORDS:]:
            old.unlink(missing_ok=True)
            old.with_suffix(".lock").unlink(missing_ok=True)
        jobs = [self._current(path.stem) for path in files[:MAX_RECORDS]]
        return [job for job in jobs if job is not None]

    def get(self, name: str) -> JobRecord:
        """Return one job. Raises UnknownId."""
        job = self._current(name) if _JOB_ID.fullmatch(name) else None
        if job is None:
            raise UnknownId(f"there is no job {name[:40]!r}; /v1/jobs lists them")
        return job

    def request_stop(self, name: str) -> None:
        """Ask the worker of a job, whichever it is, to stop it."""
        self._path(name, "stop").touch()

    def take_stop_request(self, name: str) -> bool:
        """Return whether the job was asked to stop since the last call."""
        try:
            self._path(name, "stop").unlink()
        except FileNotFoundError:
            return False
        return True

    def _current(self, name: str) -> JobRecord | None:
        """Return the record of a job, marked as failed if it says "running" but its processes have ended."""
        job = self._read(name)
        if job is None or job["state"] in ENDED:
            return job
        try:
            lock = os.open(self._path(name, "lock"), os.O_RDONLY)
        except OSError:  # removed with an old record, or too many files are open
            return job
        try:
            # Shared, so that several workers can find out at the same time.
            if not try_lock(lock, shared=True):
                return job
            job = self._read(name)  # its worker may have written the last state before it released the lock
            if job is not None and job["state"] not in ENDED:
                job |= {"state": "failed", "message": PROCESS_ENDED}
                self.write(job)
        finally:
            os.close(lock)
        return job

    def _read(self, name: str) -> JobRecord | None:
        try:
            job: JobRecord = json.loads(self._path(name, "json").read_text())
        except (OSError, ValueError):
            return None
        return job

    def _path(self, name: str, suffix: str) -> Path:
        return self._folder / f"{name}.{suffix}"
