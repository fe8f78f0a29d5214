"""Failures of child processes: the traceback is in the server's log, and never in a response."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from lookalike.errors import NoCollection, UnreadableImage
from lookalike.image.decoding.guarded import child_command
from lookalike.search import Collection
from lookalike.server import Settings
from lookalike.server.process.run import JsonLogFormatter
from lookalike.server.service.collection_service import CollectionService
from lookalike.server.service.jobs import JobRunner
from lookalike.server.uploads.decoder_pool import DecoderPool
from lookalike.types import Preprocessing
from tests.conftest import COLOURS, encode, picture
from tests.server.conftest import served, wait_for

PREPROCESSING = Preprocessing(size=(32, 32))
IMAGE = encode(picture(COLOURS["red"]))
BROKEN_DECODER = """
import sys
from lookalike.image.decoding import child

def respond(head, body):
    raise KeyError("a defect")

child._respond = respond
child.main()
"""


class Log(logging.Handler):
    """The server's log as JSON lines and as plain text."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[dict[str, Any]] = []
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.entries.append(json.loads(JsonLogFormatter().format(record)))
        self.text += logging.Formatter().format(record) + "\n"

    def failures(self) -> list[dict[str, Any]]:
        return [entry for entry in self.entries if entry["level"] == "error"]


@pytest.fixture
def log() -> Iterator[Log]:
    logger, handler = logging.getLogger("lookalike.server"), Log()
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def failed_job(collection: Path, kind: str, log: Log) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run a job that fails; return its last state and its log entry."""
    with served(None, str(collection)) as running:
        job = running.http.post("/v1/jobs", json={"kind": kind}).json()["job"]
        wait_for(lambda: running.http.get(f"/v1/jobs/{job}").json()["state"] != "running")
        response = running.http.get(f"/v1/jobs/{job}")
        wait_for(lambda: any(entry["event"] == "job failed" for entry in log.entries))
    (entry,) = (entry for entry in log.entries if entry["event"] == "job failed")
    assert (entry["job"], entry["kind"], response.json()["state"]) == (job, kind, "failed")
    assert "Traceback" not in response.text
    return response.json(), entry


@pytest.mark.parametrize("kind", ["index", "clusters", "labels"])
def test_a_mistake_of_the_user_in_a_job_is_one_line_in_the_log(tmp_path: Path, log: Log, kind: str) -> None:
    """An empty collection has no folders to index, no images to group and no labels to propagate."""
    Collection.open(tmp_path / "c", create=True).close()
    job, entry = failed_job(tmp_path / "c", kind, log)
    assert entry["level"] == "warning"
    assert job["message"].removeprefix("the collection: ") in entry["reason"]
    assert "error" not in entry
    assert "Traceback" not in log.text


def test_a_defect_in_a_job_leaves_its_traceback_in_the_log_only(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import sys\nfrom lookalike.server.service import job_process\ndel sys.argv[1:3]\n"
        "job_process.KINDS['map'] = lambda *_: {}['a defect']\njob_process.main()\n"
    )
    (tmp_path / "broken.py").write_text(code)
    executable = tmp_path / "python"
    job = f"*job_process*) exec '{sys.executable}' '{tmp_path}/broken.py' \"$@\";;"
    executable.write_text(f'#!/bin/sh\ncase "$*" in {job} esac\nexec \'{sys.executable}\' "$@"\n')
    executable.chmod(0o700)
    monkeypatch.setattr("lookalike.server.service.jobs.sys.executable", str(executable))
    Collection.open(tmp_path / "c", create=True).close()
    state, entry = failed_job(tmp_path / "c", "map", log)
    assert entry["level"] == "error"
    assert "Traceback" in entry["error"]
    assert "KeyError: 'a defect'" in entry["error"]
    assert state["message"] == "it failed unexpectedly (KeyError)"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise SystemError('a defect')", "SystemError: a defect"),
        ("import os; os._exit(7)", "exit status 7"),
        ("import sys; sys.stderr.write('x' * 10**6 + 'the end'); sys.exit(1)", "the end"),
    ],
)
def test_a_job_whose_process_dies_is_logged_with_its_last_words(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch, code: str, expected: str
) -> None:
    (tmp_path / "dies.py").write_text(code)
    executable = tmp_path / "python"
    executable.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{tmp_path}/dies.py'\n")
    executable.chmod(0o700)
    monkeypatch.setattr("lookalike.server.service.jobs.sys.executable", str(executable))

    async def run() -> dict[str, Any]:
        runner = JobRunner(Settings(uri=str(tmp_path / "c")), str(tmp_path))
        job = await runner.start("index")
        await asyncio.gather(*runner._tasks)
        return runner.records.get(job["job"])

    job = asyncio.run(run())
    (failure,) = log.failures()
    assert expected in failure["error"]
    assert len(failure["error"]) < 20_000
    assert (job["state"], job["message"]) == ("failed", "its process ended unexpectedly; start it again")


@pytest.mark.parametrize(
    ("error", "has_traceback"), [(NoCollection("it is gone"), False), (KeyError("a defect"), True)]
)
def test_a_lost_collection_has_a_traceback_only_if_a_defect_lost_it(
    tmp_path: Path, log: Log, error: Exception, has_traceback: bool
) -> None:
    service = CollectionService(Settings(uri=str(tmp_path / "c")))
    service.unavailable_reason = ""
    try:
        raise error
    except Exception as raised:
        service._mark_unavailable(raised)
    (entry,) = log.entries
    assert ("Traceback" in entry.get("error", "")) == has_traceback
    assert ("Traceback" in log.text) == has_traceback


def decode(work: Callable[[DecoderPool], Coroutine[Any, Any, object]]) -> str:
    """Run `work` with a pool of one decoder; return the refusal that it ends with."""

    async def run() -> str:
        pool = DecoderPool(1, seconds=30, memory=900 * 2**20, max_pixels=10**9)
        await pool.start()
        try:
            with pytest.raises(UnreadableImage) as refusal:
                await work(pool)
        finally:
            await pool.stop()
        return str(refusal.value)

    return asyncio.run(run())


def test_a_defect_of_a_decoder_leaves_its_traceback_in_the_log_only(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(memory: int) -> tuple[list[str], dict[str, Any]]:
        command, options = child_command(memory)
        return [command[0], "-c", BROKEN_DECODER, command[-1]], options

    monkeypatch.setattr("lookalike.server.uploads.decoder_pool.child_command", broken)
    message = decode(lambda pool: pool.upload(IMAGE, PREPROCESSING))
    (failure,) = log.failures()
    assert failure["event"] == "decoder failed"
    assert "Traceback" in failure["error"]
    assert "in respond" in failure["error"]
    assert "Traceback" not in message


def test_an_image_that_is_refused_is_no_failure_of_the_decoder(log: Log) -> None:
    decode(lambda pool: pool.upload(b"no image", PREPROCESSING))
    assert log.failures() == []


def test_a_decoder_that_crashes_leaves_its_stack_in_the_log(log: Log) -> None:
    async def crash(pool: DecoderPool) -> None:
        process = pool._children[0]._process
        assert process is not None
        os.kill(process.pid, signal.SIGSTOP)
        upload = asyncio.create_task(pool.upload(IMAGE, PREPROCESSING))
        await asyncio.sleep(0.1)  # the request is sent before the process goes on
        os.kill(process.pid, signal.SIGSEGV)
        os.kill(process.pid, signal.SIGCONT)
        await upload

    message = decode(crash)
    (failure,) = log.failures()
    assert "Segmentation fault" in failure["error"]
    assert 'child.py"' in failure["error"]
    assert "Segmentation" not in message


def test_what_the_store_says_is_json_like_the_rest_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """Its messages are plain sentences on the command line, which a server's log must not mix in."""
    from lookalike.cli.output import shown_messages
    from lookalike.server.process.run import log_as_json

    before = {
        name: vars(logging.getLogger(name)).copy() for name in ("lookalike.server", "lookalike.store", "uvicorn.error")
    }
    try:
        with shown_messages("lookalike.store"):
            log_as_json()
            logging.getLogger("lookalike.store.lance.store").warning("the search index is damaged")
    finally:
        for name, state in before.items():
            logging.getLogger(name).handlers, logging.getLogger(name).propagate = state["handlers"], state["propagate"]
            logging.getLogger(name).setLevel(state["level"])
    (line,) = capsys.readouterr().err.splitlines()
    assert (json.loads(line)["level"], json.loads(line)["event"]) == ("warning", "the search index is damaged")
