"""Pairs verified in processes: the same answers, whoever dies."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike.duplicates.search import processes
from lookalike.duplicates.search.collection_arrays import FileFacts
from lookalike.duplicates.search.processes import MIN_PAIRS, Workers
from lookalike.duplicates.search.verification import CopyVerifier, VerificationInput
from lookalike.errors import LookalikeError
from lookalike.image import thumbnail
from lookalike.relate import Calibration
from lookalike.relate.probability.calibration_model import default_geometry
from tests.relate.conftest import scene

PLAIN = Calibration(geometry=default_geometry())


def data(key: int, *, scale: float = 1.0) -> VerificationInput:
    import cv2

    image = scene(key % 100)
    small = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    picture = FileFacts(id=f"{key}.png", width=small.shape[1], height=small.shape[0], sha256=f"{key:064x}")
    return VerificationInput(key, picture, np.ones(4, np.float32) / 2, thumbnail=thumbnail(small, 256))


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    created = Workers(PLAIN, geometry=True, pairs=MIN_PAIRS)
    yield created
    created.close()


def dies(keep: VerificationInput, others: Sequence[Any]) -> list[Any]:
    with Path(keep.file.path).open("a") as deaths:
        deaths.write("died\n")
    os._exit(3)


def dies_once(keep: VerificationInput, others: Sequence[Any]) -> list[Any]:
    """The first time that the file is not there."""
    if not os.path.exists(keep.file.path):
        Path(keep.file.path).touch()
        os._exit(3)
    return [len(others)]


def test_processes_say_what_one_thread_says(workers: Workers) -> None:
    keep, others = data(1), [data(101, scale=0.6), data(2), data(201, scale=0.8)]
    assert workers.count == 2
    there = workers.result(workers.verify(keep, others))
    here = CopyVerifier(PLAIN).verify(keep, others)
    assert [proof and round(proof.probability, 6) for proof in there] == [
        proof and round(proof.probability, 6) for proof in here
    ]
    assert [proof is not None for proof in there] == [True, False, True]
    assert there[0] is not None
    (described,) = workers.result(workers.describe(keep, [(others[0], there[0])]))
    (expected,) = CopyVerifier(PLAIN).describe(keep, [(others[0], there[0])])
    assert described.words == expected.words == "scaled to 60%; the aligned images match"


def waits(keep: VerificationInput, others: Sequence[Any]) -> list[Any]:
    time.sleep(1.0)
    return [None] * len(others)


def test_questions_about_a_picture_go_where_it_is_known(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    first = workers.verify(data(1), [data(101, scale=0.6)])
    workers.result(first)
    monkeypatch.setitem(processes._FUNCTIONS, "verify", waits)
    elsewhere = [workers.verify(data(n), [data(n + 10)]) for n in (3, 4, 5)]
    again = workers.verify(data(101, scale=0.6), [data(2)])
    assert again.process == first.process
    assert {task.process for task in elsewhere} == {0, 1}
    for task in (*elsewhere, again):
        workers.result(task)


def test_a_process_that_is_killed_is_replaced_and_asked_again(workers: Workers) -> None:
    workers.result(workers.verify(data(1), [data(2)]))
    process: Any = workers._processes[0]
    for pid in list(process.executor._processes):
        os.kill(pid, signal.SIGKILL)
    tasks = [workers.verify(data(1), [data(101, scale=0.6)]) for _ in range(4)]
    assert all(workers.result(task)[0] is not None for task in tasks)


@pytest.mark.parametrize("answer", [dies_once])
def test_what_broke_with_another_is_answered(
    workers: Workers, answer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(processes._FUNCTIONS, "verify", answer)
    picture = FileFacts(id="a", path=str(tmp_path / "seen"))
    tasks = [workers.verify(VerificationInput(n, picture, np.ones(1, np.float32)), [data(1)]) for n in range(3)]
    assert [workers.result(task) for task in tasks] == [[1]] * 3


def test_an_image_that_kills_processes_is_named_with_their_number(
    workers: Workers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(processes._FUNCTIONS, "verify", dies)
    keep = VerificationInput(1, FileFacts(id="1.png", path=str(tmp_path / "deaths")), np.ones(1, np.float32))
    with pytest.raises(
        LookalikeError, match=r"^3 comparison processes in a row crashed on one of these images: 1\.png, 2\.png"
    ):
        workers.result(workers.verify(keep, [data(2)]))
    assert (tmp_path / "deaths").read_text().count("died") == 3


ASKS = """
import os, sys, time
os.cpu_count = lambda: 2
from tests.duplicates.test_processes import PLAIN, Workers, MIN_PAIRS, data
workers = Workers(PLAIN, geometry=True, pairs=MIN_PAIRS)
for n in range(2):
    workers.result(workers.verify(data(2 * n), [data(2 * n + 1)]))
print(*[pid for process in workers._processes if process for pid in process.executor._processes], flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_processes_end_with_the_one_that_was_killed(how: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", ASKS], stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        pids = list(map(int, asking.stdout.readline().split()))
        assert pids
        asking.send_signal(how)
        asking.wait(10)
        deadline = time.monotonic() + 20
        while (remaining := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < deadline:
            time.sleep(0.2)
    assert not remaining


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().split()[2] != "Z"
