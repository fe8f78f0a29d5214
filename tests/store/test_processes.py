"""Promise 4 with real processes: killed, at once, and reading while others write and clean up."""

import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from lookalike.similarity import normalize
from lookalike.store import open_store
from lookalike.store.lance.store import LanceStore

DIM = 16
START = f"""
import sys, time
import numpy as np
from datetime import timedelta
from lookalike.store.lance.store import LanceStore
store = LanceStore(sys.argv[1], keep=timedelta(seconds=float(sys.argv[3])))
name = sys.argv[2]
def vectors(n, seed):
    x = np.random.default_rng(seed).standard_normal((n, {DIM})).astype("f4")
    return x / np.linalg.norm(x, axis=1, keepdims=True)
print("ready", flush=True)
sys.stdin.readline()
"""
ADD_FOR_EVER = """
for batch in range(10**6):
    store.add([f"{name}-{batch}-{n}" for n in range(20)], vectors(20, batch), [{"batch": batch}] * 20)
    print(batch, flush=True)
    if batch % 7 == 6:
        store.optimize()
"""
ADD_THE_SAME = """
for batch in range(10):
    store.add([f"{batch}-{n}" for n in range(20)], vectors(20, batch), [{"writer": name, name: batch}] * 20)
    store.update([f"{batch}-{n}" for n in range(5)], [{"updated": name}] * 5)
    store.set_settings({f"{name}-{batch}": "done"})
    store.failures.put([{"path": f"{batch}", "reason": name}, {"path": f"{name}-{batch}", "reason": "x"}])
    store.delete([f"{batch}-19"])
"""
READ_FOR_EVER = """
seen = 0
begun = time.monotonic()
# For four seconds; a busy machine has a minute to see what it must.
while (took := time.monotonic() - begun) < 4 or (took < 60 and (seen <= 5 or len(store) <= 20)):
    rows = [len(batch["id"]) for batch in store.scan(["id"], batch=10)]
    assert sum(rows) % 20 == 0, f"half a batch: {rows}"
    hits = store.search(vectors(2, 0), 10)
    assert [len(found) for found in hits] == [10, 10], hits
    seen += 1
print(seen, len(store), flush=True)
"""


def start(work: str, place: Path, name: str = "w", keep: float = 600.0) -> "subprocess.Popen[str]":
    """A process of its own, not a fork: Lance's threads do not survive one."""
    command = [sys.executable, "-c", START + work, str(place), name, str(keep)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    return process


def go(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    open_store(str(tmp_path / "c"), dim=DIM, create=True).close()
    return tmp_path / "c"


def test_nothing_acknowledged_is_lost_on_kill(place: Path) -> None:
    dice = random.Random(0)
    acknowledged: dict[str, int] = {}
    for attempt in range(12):
        process = start(ADD_FOR_EVER, place, f"p{attempt}", keep=0.0)
        go(process)
        assert process.stdout is not None
        before = [process.stdout.readline() for _ in range(dice.randrange(10))]
        time.sleep(dice.uniform(0.0, 0.1))
        process.send_signal(signal.SIGKILL)
        lines = [line for line in process.stdout.read().split("\n")[:-1] if line]
        process.communicate()
        acknowledged[f"p{attempt}"] = len(before) + len(lines)
    found: dict[tuple[str, int], int] = {}
    store = LanceStore(str(place))
    for rows in store.scan(["id", "batch", "vector"]):
        assert np.allclose(np.linalg.norm(rows["vector"], axis=1), 1, atol=1e-5)
        for id, batch in zip(rows["id"], rows["batch"], strict=True):
            key = (id.split("-")[0], int(batch))
            found[key] = found.get(key, 0) + 1
    assert sum(acknowledged.values()) > 20
    for name, batches in acknowledged.items():
        missing = [batch for batch in range(batches) if found.get((name, batch)) != 20]
        assert not missing, f"{name}: {missing} of {batches}"
    assert set(found.values()) == {20}, "a batch that was not acknowledged is there in whole or not at all"
    store.add(["next"], normalize(np.ones((1, DIM))), [{}])  # the next run goes on
    store.optimize()


def test_writers_at_once_leave_one_row_an_id(place: Path) -> None:
    names = ["one", "two", "three"]
    writers = [start(ADD_THE_SAME, place, name) for name in names]
    for writer in writers:
        go(writer)
    for writer in writers:
        assert writer.wait(timeout=180) == 0, writer.communicate()[1][-2000:]
        writer.communicate()
    store = LanceStore(str(place))
    ids = [id for rows in store.scan(["id"]) for id in rows["id"]]
    assert len(ids) == len(set(ids))
    assert {f"{batch}-{n}" for batch in range(10) for n in range(19)} <= set(ids)
    assert all(f"{name}-{batch}" in store.settings for name in names for batch in range(10))
    paths = [row["path"] for row in store.failures.all()]
    assert sorted(paths) == sorted([f"{b}" for b in range(10)] + [f"{n}-{b}" for n in names for b in range(10)])


def test_readers_see_whole_batches_while_others_write_and_clean_up(place: Path) -> None:
    LanceStore(str(place)).add([f"{n}" for n in range(20)], normalize(np.eye(20, DIM) + 0.1), [{}] * 20)
    writer = start(ADD_FOR_EVER, place, keep=600)
    readers = [start(READ_FOR_EVER, place) for _ in range(2)]
    for process in (writer, *readers):
        go(process)
    try:
        for reader in readers:
            out, err = reader.communicate(timeout=120)
            assert reader.returncode == 0, err[-2000:]
            seen, rows = map(int, out.split())
            assert seen > 5
            assert rows > 20, "a reader that stays open notices what others add"
    finally:
        writer.kill()
        writer.communicate()


def test_old_versions_are_kept_for_readers(place: Path) -> None:
    writer = LanceStore(str(place), keep=timedelta(minutes=10))
    writer.add(
        [f"{n}" for n in range(200)], normalize(np.random.default_rng(0).standard_normal((200, DIM))), [{}] * 200
    )
    reader = LanceStore(str(place))
    rows = reader.scan(["id"], batch=10)
    first = next(rows)
    for n in range(5):
        writer.add([f"{n}"], normalize(np.ones((1, DIM))), [{}])
        writer.optimize()
    writer.delete([f"{n}" for n in range(100)])
    writer.optimize()
    assert sum(len(batch["id"]) for batch in rows) + len(first["id"]) == 200
