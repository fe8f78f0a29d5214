"""Jobs, health, metrics, the collection gone or replaced, two servers on one, and a whole process with its workers."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
import uvicorn

from lookalike.duplicates.review.saved_groups import DUPLICATES
from lookalike.search import Collection
from lookalike.search.saved_results import save_result
from lookalike.server import Settings, create_app
from lookalike.server.http.metrics import Metrics
from lookalike.server.process.shared_dir import remove_abandoned
from lookalike.server.service.collection_service import CollectionService
from tests.conftest import COLOURS, ColourEmbedder, encode, picture
from tests.server.conftest import Served, fill, free_port, served, wait_for


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """A collection by the default model, which a job's own process can open."""
    fill(tmp_path / "photos", per_colour=1)
    with Collection.open(tmp_path / "c", create=True) as photos:
        photos.sync(tmp_path / "photos")
    return tmp_path / "c"


def test_indexing_while_serving_tells_how_far_it_is(real: Path, tmp_path: Path) -> None:
    with served(None, str(real)) as running:
        (tmp_path / "photos" / "new.png").write_bytes(encode(picture(COLOURS["red"], seed=77)))
        started = running.http.post("/v1/jobs", json={"kind": "index"})
        assert started.status_code == 202
        job = started.json()["job"]
        assert running.http.post("/v1/jobs", json={"kind": "index"}).json()["error"] == "job_running"
        with running.http.stream("GET", f"/v1/jobs/{job}/events") as stream:
            events = "".join(stream.iter_text())
        last = json.loads(events.rstrip().rsplit("data: ", 1)[1])
        assert (last["state"], last["report"]["added"]) == ("done", 1)
        assert "event: end" in events
        wait_for(lambda: running.http.get("/v1/images/photos%2Fnew.png").status_code == 200)
        assert running.http.get("/v1/jobs").json()["jobs"][0]["state"] == "done"
        assert running.http.get("/v1/jobs/deadbeef").status_code == 404


def test_duplicates_are_found_decided_and_taken_back(real: Path, tmp_path: Path) -> None:
    source = picture(COLOURS["violet"], seed=5, size=(300, 220))
    rng = __import__("numpy").random.default_rng(3)
    for _ in range(40):  # something to hold on to: a plain picture cannot be judged
        x, y = rng.integers(0, 260), rng.integers(0, 180)
        source[y : y + rng.integers(8, 40), x : x + rng.integers(8, 40)] = rng.integers(0, 255, 3)
    (tmp_path / "photos" / "one.png").write_bytes(encode(source))
    (tmp_path / "photos" / "two.jpg").write_bytes(encode(source, "JPEG"))
    with Collection.open(real) as photos:
        photos.sync()
    with served(None, str(real)) as running:
        http = running.http
        assert http.get("/v1/duplicates").json()["when"] is None
        job = http.post("/v1/jobs", json={"kind": "duplicates"}).json()["job"]
        wait_for(lambda: http.get(f"/v1/jobs/{job}").json()["state"] != "running", 60)
        assert http.get(f"/v1/jobs/{job}").json()["state"] == "done"
        groups = http.get("/v1/duplicates").json()["groups"]
        pairs = {(g["keep"]["id"], e["id"]): e for g in groups for e in g["extras"]}
        assert ("photos/one.png", "photos/two.jpg") in pairs
        assert pairs["photos/one.png", "photos/two.jpg"]["verdict"] is None
        query = {"first": "photos/one.png", "second": "photos/two.jpg"}

        def verdicts() -> set[str | None]:
            payload = http.get("/v1/duplicates").json()["groups"]
            return {e["verdict"] for g in payload for e in g["extras"] if e["id"] == "photos/two.jpg"}

        assert http.post("/v1/decisions", json=query | {"verdict": "not-a-copy"}).status_code == 200
        assert verdicts() == {"not-a-copy"}
        http.post("/v1/decisions", json=query | {"verdict": None})
        assert verdicts() == {None}
        assert http.post("/v1/decisions", json=query | {"verdict": "maybe"}).status_code == 422
        assert http.post("/v1/decisions", json=query | {"first": "nobody", "verdict": "copy"}).status_code == 404
        chosen = {"id": "photos/two.jpg", "keep": True}
        assert http.post("/v1/choices", json=chosen).json() == chosen

        def instead() -> list[bool]:
            payload = http.get("/v1/duplicates").json()["groups"]
            return [e["chosen"] for g in payload for e in g["extras"] if e["id"] == "photos/two.jpg"]

        assert instead() == [True]
        assert http.post("/v1/choices", json=chosen | {"keep": False}).status_code == 200
        assert instead() == [False]
        first = {"id": "photos/one.png", "keep": True}
        for choice in (chosen, first):  # of two of one group the one chosen last is kept
            assert http.post("/v1/choices", json=choice).status_code == 200
        (group,) = [g for g in http.get("/v1/duplicates").json()["groups"] if g["keep"]["id"] == "photos/one.png"]
        assert (group["chosen"], instead()) == (True, [False])
        for choice in (chosen, first):
            http.post("/v1/choices", json=choice | {"keep": False})
        assert http.post("/v1/choices", json=chosen | {"id": "nobody"}).status_code == 404
        assert http.post("/v1/choices", json=chosen | {"keep": "x"}).status_code == 422
        results = http.get("/v1/duplicates").json()
    with served(None, str(real), read_only=True) as again:  # another process, another day
        assert again.http.get("/v1/duplicates").json() == results
        assert again.http.post("/v1/choices", json=chosen).status_code == 403
        assert results["when"]


def test_duplicates_that_an_older_version_kept_are_told(own: Served) -> None:
    keep, extra = ({"id": f"photos/{name}0.png", "metadata": {}} for name in ("red", "green"))
    why = {"score": 0.9, "relation": "copy", "probability": 1.0, "words": "smaller", "reason": "larger", "left": ""}
    payload = {"when": "2026-01-31T12:00:00+00:00", "pictures": 2, "groups": [{"keep": keep, "extras": [extra | why]}]}
    save_result(own.photos, DUPLICATES, payload)
    (group,) = own.http.get("/v1/duplicates").json()["groups"]
    assert (group["extras"][0]["transform"], group["extras"][0]["changes"]) == (None, None)
    assert group["extras"][0]["kinds"] == ["resized"]  # by its words


def test_clusters_are_made_and_looked_into(tmp_path: Path) -> None:
    fill(tmp_path / "photos", per_colour=8)
    with Collection.open(tmp_path / "c", create=True) as photos:
        photos.sync(tmp_path / "photos")
    with served(None, str(tmp_path / "c")) as running:
        http = running.http
        assert http.get("/v1/clusters").json() == {"levels": [], "level": None, "clusters": []}
        job = http.post("/v1/jobs", json={"kind": "clusters"}).json()["job"]
        wait_for(lambda: http.get(f"/v1/jobs/{job}").json()["state"] != "running", 60)
        payload = http.get("/v1/clusters").json()
        assert sum(c["size"] for c in payload["clusters"]) == 40
        one = http.get(f"/v1/clusters/{payload['clusters'][0]['key']}").json()
        assert one["total"] == payload["clusters"][0]["size"]
        assert http.get("/v1/clusters?level=999").status_code == 404


def test_the_collection_deleted_and_replaced_while_serving(real: Path, tmp_path: Path) -> None:
    with served(None, str(real)) as running:
        shutil.rmtree(real)
        wait_for(lambda: running.http.get("/readyz").status_code == 503)
        answer = running.http.get("/v1/search?like=id:photos/red0.png")
        assert (answer.status_code, answer.json()["error"]) == (503, "no_collection")
        assert str(tmp_path) not in answer.text
        assert running.http.get("/healthz").status_code == 200
        with Collection.open(real, create=True) as photos:
            photos.add([picture(COLOURS["blue"])], ids=["other"])
        wait_for(lambda: running.http.get("/v1/images/other").status_code == 200)
        assert running.http.get("/v1/images/photos%2Fred0.png").status_code == 404


def test_two_servers_on_one_collection_see_each_other(tmp_path: Path) -> None:
    with (
        Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as one,
        Collection.open(tmp_path / "c", model=ColourEmbedder()) as two,
        served(one, str(tmp_path / "c")) as first,
        served(two, str(tmp_path / "c")) as second,
    ):
        for n, running in enumerate((first, second)):
            files = {"image": ("x.png", encode(picture(COLOURS["red"], seed=n)))}
            assert running.http.post("/v1/images", files=files, data={"id": f"n{n}"}).status_code == 201
        for running in (first, second):
            wait_for(lambda r=running: r.http.get("/v1/collection").json()["images"] == 2)  # type: ignore[misc]
            wait_for(lambda r=running: r.http.get("/v1/images").json()["total"] == 2)  # type: ignore[misc]


def test_a_full_disk_is_told_and_survived(own: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(own.photos.store._rows), "_merge", full)  # type: ignore[attr-defined]
    files = {"image": ("x.png", encode(picture(COLOURS["red"])))}
    answer = own.http.post("/v1/images", files=files)
    assert (answer.status_code, answer.json()["error"]) == (507, "store_failed")
    assert own.http.get("/v1/search?like=id:photos/red0.png").status_code == 200


def test_metrics_count_and_workers_are_summed(server: Served, tmp_path: Path) -> None:
    server.http.get("/v1/search?like=id:photos/red0.png")
    text = server.http.get("/metrics").text
    assert 'lookalike_requests_total{method="GET",route="/v1/search",status="200"}' in text
    assert "lookalike_images 15" in text
    one, two = Metrics(str(tmp_path)), Metrics(str(tmp_path))
    one.add("lookalike_requests_total", route="a")
    one.publish()
    os.rename(tmp_path / f"metrics-{os.getpid()}.json", tmp_path / "metrics-1.json")
    two.add("lookalike_requests_total", 2, route="a")
    assert 'lookalike_requests_total{route="a"} 3' in two.text()


def test_a_worker_publishes_what_its_components_count(own: Served, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    published = tmp_path / "shared" / f"metrics-{os.getpid()}.json"

    def values() -> dict[tuple[str, str], float]:
        rows = json.loads(published.read_text()) if published.exists() else []
        return {(name, json.dumps(dict(labels))): value for name, labels, value in rows}

    with served(own.photos, own.photos.uri, workers=2, folder=str(tmp_path / "shared")) as running:
        running.http.get("/v1/search?like=id:photos/red0.png")
        wait_for(lambda: values().get(("lookalike_batches_total", '{"kind": "search"}'), 0) >= 1)
        assert values()["lookalike_images", "{}"] == 5


class Process:
    """`lookalike serve` with its workers, in a session of its own; what it says goes to a file."""

    def __init__(self, collection: Path, folder: Path, workers: int) -> None:
        self.temporary, self._log = folder / "tmp", folder / "log"
        self.temporary.mkdir()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "lookalike", "serve", "-c", str(collection), "--port", str(port)]
        with self._log.open("wb") as log:
            self.main = subprocess.Popen(
                [*command, "--workers", str(workers)],
                stderr=log,
                start_new_session=True,
                env=os.environ | {"TMPDIR": str(self.temporary)},
            )

    @property
    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=30).status_code == 200
        except httpx.TransportError:
            return False

    @property
    def lines(self) -> list[str]:
        return self._log.read_text().splitlines()

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.main.pid, signal.SIGKILL)
        self.main.wait()


@contextmanager
def process_of(collection: Path, folder: Path, workers: int) -> Iterator[Process]:
    running = Process(collection, folder, workers)
    try:
        wait_for(lambda: running.ready, 120)
        yield running
    finally:
        running.end()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_process_serves_and_stops_in_order(real: Path, tmp_path: Path, workers: int, ending: signal.Signals) -> None:
    with process_of(real, tmp_path, workers) as running:
        url, folder = running.url, running.temporary
        sent = {"image": ("x.png", encode(picture(COLOURS["red"])))}
        (saved,) = {httpx.post(f"{url}/v1/queries", files=sent, timeout=60).json()["query"] for _ in range(8)}
        answers = set()
        for _ in range(8):  # a new connection each time: either worker knows the kept query
            time.sleep(0.05)
            answer = httpx.get(f"{url}/v1/search", params={"like": saved, "k": 1}, timeout=60)
            answers.add(answer.json()["hits"][0]["id"])
        assert answers == {"photos/red0.png"}
        assert list(folder.glob("lookalike-*/queries/*.bin"))
        running.main.send_signal(ending)
        assert running.main.wait(timeout=60) == 0, running.lines
    assert list(folder.glob("lookalike-*")) == []  # nor what strangers sent
    logged = [json.loads(line) for line in running.lines if line.startswith("{")]
    assert any(line.get("route") == "/v1/search" and line["status"] == 200 for line in logged)
    assert sum(line.startswith(f"open {url} ") for line in running.lines) == 1
    assert not [line for line in running.lines if "Traceback" in line or "never retrieved" in line]


def test_workers_do_not_outlive_who_watches_them(real: Path, tmp_path: Path) -> None:
    with process_of(real, tmp_path, 2) as running:
        assert list(running.temporary.glob("lookalike-*/key"))
        running.main.kill()
        running.main.wait()
        wait_for(lambda: not running.ready, 60)
        wait_for(lambda: not list(running.temporary.glob("lookalike-*")), 60)  # nor what strangers sent


def test_what_a_killed_server_left_goes_with_the_next(real: Path, tmp_path: Path) -> None:
    with process_of(real, tmp_path, 1) as running:
        (remaining,) = running.temporary.glob("lookalike-*")
        remove_abandoned(running.temporary)
        assert remaining.exists(), "it is in use"
    assert remaining.exists(), "killed"
    (running.temporary / "lookalike-other").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "lock").touch()
    (running.temporary / "lookalike-trap").symlink_to(tmp_path / "mine")
    remove_abandoned(running.temporary)
    assert sorted(path.name for path in running.temporary.iterdir()) == ["lookalike-other", "lookalike-trap"]
    assert (tmp_path / "mine" / "lock").exists()


def test_the_workers_limit_how_long_headers_take(real: Path, tmp_path: Path) -> None:
    port = free_port()
    settings = Settings(uri=str(real), port=port, workers=2, decoders=1, header_seconds=0.3)
    code = f"from lookalike.server import Settings, serve; serve({settings!r})"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", code], stderr=log, start_new_session=True)
    try:
        wait_for(lambda: answers(port), 120)
        for _ in range(6):  # either worker
            with socket.create_connection(("127.0.0.1", port)) as sock:
                sock.settimeout(8)  # the setting's default is 10
                sock.sendall(b"GET / HTTP/1.1\r\nHost: 127.0")
                assert sock.recv(100) == b""
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=30).status_code == 200
    except httpx.TransportError:
        return False


FOR_EVER = """
import os, time
from pathlib import Path
from lookalike.cli.main import run
from lookalike.server import app
from lookalike.server.service.collection_service import CollectionService

def refresh(desk):
    Path(os.environ["BEGUN"]).touch()
    time.sleep(1000)

app.LOAD_SECONDS, CollectionService.refresh = 1000, refresh
run()
"""


def test_who_still_reads_the_collection_stops_when_told(real: Path, tmp_path: Path) -> None:
    started, log = tmp_path / "begun", tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", FOR_EVER, "serve", "-c", str(real), "--port", str(free_port())],
            stderr=file,
            start_new_session=True,
            env=os.environ | {"BEGUN": str(started)},
        )
    try:
        wait_for(started.exists, 120)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=200) == 0, log.read_text()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_worker_listens_only_when_it_can_answer(real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = CollectionService.refresh

    def refresh(self: CollectionService) -> None:
        time.sleep(1)
        slow(self)

    monkeypatch.setattr(CollectionService, "refresh", refresh)
    observed: list[int] = []

    def first() -> bool:
        with suppress(httpx.TransportError):
            observed.append(httpx.get(f"http://127.0.0.1:{port}/readyz").status_code)
        return bool(observed)

    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(create_app(Settings(uri=str(real), port=port, decoders=1)), port=port, log_config=None)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_for(first)
    finally:
        server.should_exit = True
        thread.join(timeout=60)
    assert observed == [200]
