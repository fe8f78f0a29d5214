"""Jobs of several workers: only one runs at a time, and none seems to run after its processes have ended."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from lookalike.duplicates.files.apply import SkippedFile
from lookalike.search import Collection
from lookalike.server import Settings
from lookalike.server.service.job_process import _skipped_files
from lookalike.server.service.job_records import PROCESS_ENDED, JobRecords, JobRunning
from lookalike.server.service.jobs import JobRunner
from lookalike.types import DuplicateGroup, Extra, Hit
from tests.server.conftest import free_port, wait_for


def test_two_workers_start_a_job_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second worker starts while the first has checked that nothing runs and has not yet started its own."""
    first, second = JobRecords(tmp_path), JobRecords(tmp_path)
    check = first.all

    def slow_check() -> list[dict[str, Any]]:
        jobs = check()
        monkeypatch.setattr(first, "all", check)
        with pytest.raises(JobRunning):
            second.claim("index")
        return jobs

    monkeypatch.setattr(first, "all", slow_check)
    job = first.claim("index")
    assert [known["job"] for known in second.all()] == [job["job"]]
    with pytest.raises(JobRunning, match=job["job"]):
        second.claim("index")
    first.release(job["job"])


# A Python that runs a job of kind `index` that stops only once it is told to, and only once the file `go` exists.
SLOW_JOB = """
import sys, time
from pathlib import Path
from lookalike.server.service import job_process

folder = Path(__file__).parent

def index(uri, stop):
    (folder / "started").touch()
    stop.wait()
    (folder / "told").touch()
    while not (folder / "go").exists():
        time.sleep(0.02)
    raise job_process.Stopped("stopped")

job_process.KINDS["index"] = index
del sys.argv[1:3]
job_process.main()
"""
WORKER = """
import asyncio, sys
sys.executable = sys.argv[1]
from lookalike.server import Settings
from lookalike.server.service.jobs import JobRunner

async def run():
    await JobRunner(Settings(uri="c"), sys.argv[2]).start("index")
    await asyncio.sleep(1000)

asyncio.run(run())
"""


def slow_python(folder: Path) -> str:
    (folder / "slow_job.py").write_text(SLOW_JOB)
    executable = folder / "python"
    job = f"*job_process*) exec '{sys.executable}' '{folder}/slow_job.py' \"$@\";;"
    executable.write_text(f'#!/bin/sh\ncase "$*" in {job} esac\nexec \'{sys.executable}\' "$@"\n')
    executable.chmod(0o700)
    return str(executable)


def test_the_job_of_a_killed_worker_fails_once_its_process_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER, slow_python(tmp_path), str(tmp_path)])
    try:
        wait_for((tmp_path / "started").exists)
    finally:
        worker.kill()
        worker.wait()
    first, second = JobRecords(tmp_path / "jobs"), JobRecords(tmp_path / "jobs")
    wait_for((tmp_path / "told").exists)  # to stop, by the death of its worker
    (job,) = first.all()
    assert job["state"] == "running", "its process still runs"
    with pytest.raises(JobRunning, match=job["job"]):
        second.claim("index")

    (tmp_path / "go").touch()
    write, seen = first.write, []

    def slow_write(job: dict[str, Any]) -> None:
        seen.append(second.get(job["job"]))  # another worker reads while this one marks the job as failed
        write(job)

    monkeypatch.setattr(first, "write", slow_write)
    wait_for(lambda: first.get(job["job"])["state"] != "running")
    expected = job | {"state": "failed", "message": PROCESS_ENDED}
    assert [first.get(job["job"]), *seen] == [expected, expected]
    again = second.claim("index")
    assert [record["state"] for record in first.all()] == ["running", "failed"]
    second.release(again["job"])


def test_a_job_that_ends_while_it_is_read_is_not_taken_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, reader = JobRecords(tmp_path), JobRecords(tmp_path)
    job = owner.claim("index")
    read = reader._read

    def slow_read(name: str) -> dict[str, Any] | None:
        record = read(name)
        monkeypatch.setattr(reader, "_read", read)
        owner.write(job | {"state": "done"})
        owner.release(name)
        return record

    monkeypatch.setattr(reader, "_read", slow_read)
    assert reader.get(job["job"])["state"] == "done"


def test_a_process_that_cannot_be_started_leaves_no_running_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = JobRunner(Settings(uri="c"), str(tmp_path))
    monkeypatch.setattr("lookalike.server.service.jobs.sys.executable", str(tmp_path / "missing"))
    with pytest.raises(FileNotFoundError):
        asyncio.run(runner.start("index"))
    assert [job["state"] for job in runner.records.all()] == ["failed"]
    runner.records.release(runner.records.claim("index")["job"])


def test_a_job_that_is_stopped_before_its_process_can_handle_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable = tmp_path / "python"
    executable.write_text("#!/bin/sh\ntouch '" + f"{tmp_path}/started'\nexec sleep 1000\n")
    executable.chmod(0o700)
    monkeypatch.setattr("lookalike.server.service.jobs.sys.executable", str(executable))

    async def run() -> dict[str, Any]:
        runner = JobRunner(Settings(uri="c"), str(tmp_path))
        job = await runner.start("index")
        while not (tmp_path / "started").exists():
            await asyncio.sleep(0.02)
        runner.stop(job["job"])
        await asyncio.gather(*runner._tasks)
        return runner.records.get(job["job"])

    assert asyncio.run(run())["state"] == "stopped"


SERVE = """
import sys
from lookalike.cli.main import run
from lookalike.server.service import jobs

jobs.STOP_SECONDS = 1
sys.executable = sys.argv.pop(1)
run()
"""


@contextmanager
def serving_slow_jobs(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    Collection.open(folder / "c", create=True).close()
    port = free_port()
    command = [sys.executable, "-c", SERVE, slow_python(folder), "serve", "-c", str(folder / "c"), "--port", str(port)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stderr=log, start_new_session=True)
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{url}/readyz", timeout=30).status_code == 200
        return False

    try:
        wait_for(ready, 120)
        yield server, url
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("obeys", [True, False])
def test_a_server_that_ends_ends_its_job(tmp_path: Path, ending: signal.Signals, obeys: bool) -> None:
    events: list[dict[str, Any]] = []

    def follow(url: str) -> None:
        with suppress(httpx.TransportError), httpx.stream("GET", url, timeout=60) as stream:
            events.extend(json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))

    if obeys:
        (tmp_path / "go").touch()
    with serving_slow_jobs(tmp_path) as (server, url):
        job = httpx.post(f"{url}/v1/jobs", json={"kind": "index"}, timeout=30).json()["job"]
        follower = threading.Thread(target=follow, args=(f"{url}/v1/jobs/{job}/events",), daemon=True)
        if obeys:  # an open page does not hold the server up
            follower.start()
            wait_for(lambda: bool(events))
        wait_for((tmp_path / "started").exists)
        server.send_signal(ending)
        assert server.wait(timeout=15) == 0, (tmp_path / "log").read_text()
        assert (tmp_path / "told").exists()
        assert not processes_of(tmp_path)
        if obeys:
            follower.join(timeout=30)
            assert [event["state"] for event in events] == ["running", "stopped"]


def processes_of(folder: Path) -> list[str]:
    """The command lines of the processes that run the job in `folder`."""
    lines = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if f"{folder}/slow_job.py" in line]


def test_skipped_files_are_named_without_their_folders() -> None:
    extra = Extra(
        id="photos/a.jpg",
        score=1.0,
        relation="copy",
        probability=1.0,
        words="",
        reason="",
        metadata={"path": "/p/a.jpg"},
    )
    groups = (DuplicateGroup(Hit("photos/keep.png", 1.0, {"path": "/p/keep.png"}), (extra,)),)
    skipped = [SkippedFile("/p/a.jpg", "it differs from /p/keep.png"), SkippedFile("/p/a.xmp", "it is in /p/other")]
    assert _skipped_files(skipped, groups, show_paths=False) == [
        {"id": "photos/a.jpg", "reason": "it differs from photos/keep.png"},
        {"id": "a.xmp", "reason": "it is in …"},
    ]
    assert _skipped_files(skipped, groups, show_paths=True)[1] == {"id": "a.xmp", "reason": "it is in /p/other"}
