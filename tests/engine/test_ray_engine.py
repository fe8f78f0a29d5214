"""The same sync by the threads of this process and by a Ray cluster; then with faults in the middle of it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike.engine import RayEngine
from lookalike.errors import LookalikeError
from lookalike.indexing.engine import Engine, LocalEngine
from lookalike.indexing.sync import SyncOptions
from lookalike.search import Collection
from tests.conftest import COLOURS, ColourEmbedder, encode, picture
from tests.engine.conftest import ROOT, Nodes
from tests.engine.embedders import BrokenEmbedder, FatalEmbedder, SlowEmbedder
from tests.object_stores import environment, seaweed_server

COUNT = 240
COLUMNS = [
    "path",
    "root",
    "size",
    "mtime_ns",
    "sha256",
    "width",
    "height",
    "format",
    "frame",
    "frames",
    "plain",
    "label",
]


@pytest.mark.parametrize(
    ("device", "gpus", "expected"), [("auto", 0, "cpu"), ("auto", 0.5, "auto"), ("cuda", 0, "cuda"), ("cpu", 1, "cpu")]
)
def test_workers_without_a_gpu_of_their_own_use_the_cpu(device: str, gpus: float, expected: str) -> None:
    assert RayEngine("c", gpus=gpus, device=device).worker_device == expected


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A folder with many images."""
    folder = tmp_path / "photos"
    folder.mkdir()
    names = list(COLOURS)
    for n in range(COUNT):
        colour = names[n % (len(names) - 1)]  # no violet
        (folder / f"{n:04}.png").write_bytes(encode(picture(COLOURS[colour], seed=n)))
    return folder


def rows(photos: Collection) -> dict[str, tuple[Any, ...]]:
    """All rows by id, with their vectors; an id that is there twice fails."""
    stored = {}
    names = [name for name in [*COLUMNS, "price"] if name in photos.store.columns()]
    for part in photos.store.scan(["id", "vector", "thumbnail", *names]):
        for n, image_id in enumerate(part["id"].tolist()):
            assert image_id not in stored, image_id
            vector = np.round(part["vector"][n], 5).tolist()
            stored[image_id] = (vector, part["thumbnail"][n], *(part[name][n] for name in names))
    return stored


def ray_engine(photos: Collection, nodes: Nodes, **options: Any) -> RayEngine:
    return RayEngine(photos.uri, nodes.address, **({"batch": 16} | options))


@pytest.fixture(params=["local", "ray"])
def engine_of(request: pytest.FixtureRequest) -> Callable[[Collection], Engine]:
    if request.param == "local":
        return lambda _photos: LocalEngine(2)
    nodes: Nodes = request.getfixturevalue("connection")
    return lambda photos: ray_engine(photos, nodes)


def test_engines_store_the_same_rows(connection: Nodes, many: Path, tmp_path: Path) -> None:
    (many / "bad.png").write_bytes(b"bad")
    (many / "copy of 0001.png").write_bytes((many / "0001.png").read_bytes())
    results = []
    for name, engine in (("a", None), ("b", connection)):
        with Collection.open(tmp_path / name, model=ColourEmbedder(), create=True) as photos:
            report = photos.sync(many, engine=engine and ray_engine(photos, engine))
            assert (report.added, [Path(f.path).name for f in report.failed]) == (COUNT + 1, ["bad.png"])
            results.append(rows(photos))
    assert results[0] == results[1]


def test_every_change_is_followed(engine_of: Callable[[Collection], Engine], many: Path, tmp_path: Path) -> None:
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos:
        engine = engine_of(photos)
        assert photos.sync(many, engine=engine).added == COUNT
        photos.update(["photos/0001.png"], [{"label": "kept"}])
        (many / "0001.png").write_bytes(encode(picture(COLOURS["red"], seed=1000)))
        (many / "0002.png").rename(many / "moved.png")
        (many / "0003.png").unlink()
        (many / "again.png").write_bytes((many / "0004.png").read_bytes())
        (many / "bad.png").write_bytes(b"bad")
        report = photos.sync(engine=engine)
        assert (report.added, report.changed, report.moved, report.removed) == (1, 1, 1, 1)
        assert [Path(f.path).name for f in report.failed] == ["bad.png"]
        (many / "bad.png").write_bytes(encode(picture(COLOURS["red"], seed=1001)))
        report = photos.sync(engine=engine)
        assert (report.added, report.failed, photos.failures()) == (1, [], [])
        stored = rows(photos)
        assert len(stored) == COUNT + 1
        assert stored["photos/0001.png"][COLUMNS.index("label") + 2] == "kept"


def test_an_added_model_is_given_to_all_images(
    engine_of: Callable[[Collection], Engine], many: Path, tmp_path: Path
) -> None:
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos:
        photos.sync(many)
        photos.added_models.add(ColourEmbedder("other"))
        (many / "0003.png").unlink()
        (many / "0004.png").write_bytes(encode(picture(COLOURS["violet"], seed=1000)))
        report = photos.sync(engine=engine_of(photos))
        assert (report.removed, report.changed, report.by_model["other"].added) == (1, 1, COUNT - 1)
        view = photos.by_model("other")
        assert view.ids() == photos.ids()
        np.testing.assert_allclose(view.vectors()[1], photos.vectors()[1], atol=1e-5)
        assert "thumbnail" not in view.store.vectors.columns()  # type: ignore[attr-defined]


def test_columns_of_a_manifest_widen_the_collection(
    engine_of: Callable[[Collection], Engine], many: Path, tmp_path: Path
) -> None:
    table = tmp_path / "list.csv"
    lines = [f"{many}/{n:04}.png,id{n},{'dear' if n > 200 else 'cheap'},{n}" for n in range(COUNT)]
    table.write_text("path,id,label,price\n" + "\n".join(lines) + "\n")
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos:
        assert photos.sync(table, engine=engine_of(photos)).added == COUNT
        stored = rows(photos)
        assert len(stored) == COUNT
        assert stored["id7"][-2:] == ("cheap", 7)
        # A further table gives ids that exist to other files: these rows are replaced, not doubled.
        second = tmp_path / "second.csv"
        (tmp_path / "x.png").write_bytes(encode(picture(COLOURS["violet"], seed=1)))
        second.write_text("path,id\nx.png,id7\n")
        photos.sync(second, engine=engine_of(photos))
        assert rows(photos)["id7"][2] == str(tmp_path / "x.png")
        assert len(photos) == COUNT


def test_ids_that_exist_without_a_file_are_replaced(
    engine_of: Callable[[Collection], Engine], many: Path, tmp_path: Path
) -> None:
    table = tmp_path / "list.csv"
    table.write_text(f"path,id\n{many}/0001.png,x\n{many}/0002.png,photos/0003.png\n")
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos:
        photos.add([picture(COLOURS["red"]), picture(COLOURS["blue"])], ids=["x", "photos/0005.png"])
        photos.sync([table, many], engine=engine_of(photos))
        stored = rows(photos)  # fails where an id is there twice
        assert stored["x"][2] == f"{many}/0001.png"


def test_all_frames_of_an_animation(engine_of: Callable[[Collection], Engine], tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "photos"
    folder.mkdir()
    frames = [Image.fromarray(picture(COLOURS[name], seed=n)) for n, name in enumerate(("red", "green", "blue"))]
    frames[0].save(folder / "a.gif", save_all=True, append_images=frames[1:])
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos:
        assert photos.sync(folder, frames=3, engine=engine_of(photos)).added == 3
        assert sorted(rows(photos)) == ["photos/a.gif", "photos/a.gif#1", "photos/a.gif#2"]


def test_stop_ends_after_the_batches_in_work(
    engine_of: Callable[[Collection], Engine], many: Path, tmp_path: Path
) -> None:
    stop = threading.Event()
    with Collection.open(tmp_path / "c", model=SlowEmbedder(), create=True) as photos:
        engine = engine_of(photos)
        options = SyncOptions(workers=2, engine=engine, stop=stop, progress=lambda _done, _total: stop.set())
        report = photos.sync(many, options=options)
        assert report.interrupted
        assert 0 < report.added == len(photos) < COUNT
        assert photos.sync(engine=engine).added == COUNT - report.added


def test_an_error_of_the_model_is_told(connection: Nodes, many: Path, tmp_path: Path) -> None:
    error = pytest.raises(LookalikeError, match="the model is broken")
    with Collection.open(tmp_path / "c", model=BrokenEmbedder(), create=True) as photos, error:
        photos.sync(many, engine=ray_engine(photos, connection))


def test_a_worker_that_cannot_open_the_collection_says_why(connection: Nodes, many: Path, tmp_path: Path) -> None:
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos:
        engine = RayEngine(str(tmp_path / "elsewhere"), connection.address)
        with pytest.raises(LookalikeError, match="there is no collection"):
            photos.sync(many, engine=engine)


def test_a_file_that_ends_its_process_costs_itself_alone(connection: Nodes, many: Path, tmp_path: Path) -> None:
    fatal = [many / "fatal.png", many / "0100 fatal.png"]
    for path in fatal:
        path.write_bytes(encode(picture(COLOURS["violet"], seed=5)))
    with Collection.open(tmp_path / "c", model=FatalEmbedder(), create=True) as photos:
        report = photos.sync(many, engine=ray_engine(photos, connection))
        assert sorted(f.path for f in report.failed) == sorted(map(str, fatal))
        assert all("ended the process that read it" in f.reason for f in report.failed)
        assert report.added == len(rows(photos)) == COUNT


@pytest.mark.parametrize("fault", ["worker", "all workers", "node"])
def test_what_ends_in_the_middle_costs_nothing(connection: Nodes, many: Path, tmp_path: Path, fault: str) -> None:
    struck = threading.Event()

    def strike(done: int, _total: int) -> None:
        if done >= COUNT // 5 and not struck.is_set():
            struck.set()
            if fault == "node":
                connection.kill_one()
            for pid in connection.workers()[: {"worker": 1, "all workers": None, "node": 0}[fault]]:
                os.kill(pid, signal.SIGKILL)

    with Collection.open(tmp_path / "c", model=SlowEmbedder(), create=True) as photos:
        options = SyncOptions(workers=2, engine=ray_engine(photos, connection), progress=strike)
        report = photos.sync(many, options=options)
        assert struck.is_set()
        assert (report.added, report.failed) == (COUNT, [])
        assert len(rows(photos)) == COUNT
    if fault == "node":
        connection.add()


DRIVER = """
import sys, ray
from lookalike.search import Collection
from lookalike.engine import RayEngine
from tests.engine.conftest import HEAD
ray.init(address=sys.argv[3], _node_ip_address=HEAD, log_to_driver=False, logging_level="error")
with Collection.open(sys.argv[1]) as photos:
    from tests.engine.embedders import SlowEmbedder
    embedder = SlowEmbedder()
    embedder.seconds = 0.08
    photos.use_embedder(embedder)
    print("ready", flush=True)
    report = photos.sync(sys.argv[2], engine=RayEngine(sys.argv[1], sys.argv[3], batch=16))
    print(report.added, len(report.failed))
"""


def start_driver(collection: Path, folder: Path, nodes: Nodes) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", DRIVER, str(collection), str(folder), nodes.address]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_driver_loses_nothing_that_was_committed(nodes: Nodes, many: Path, tmp_path: Path) -> None:
    place = tmp_path / "c"
    Collection.open(place, model=SlowEmbedder(), create=True).close()
    driver = start_driver(place, many, nodes)
    with Collection.open(place) as photos:
        deadline = time.monotonic() + 120
        while not len(photos) and driver.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        driver.kill()
        driver.communicate()
        committed = len(rows(photos))
        assert 0 < committed < COUNT
    driver = start_driver(place, many, nodes)
    out, err = driver.communicate(timeout=200)
    assert driver.returncode == 0, err
    with Collection.open(place) as photos:
        assert out.split()[-2:] == [str(COUNT - committed), "0"]
        assert len(rows(photos)) == COUNT


def test_two_drivers_index_every_image_once(nodes: Nodes, many: Path, tmp_path: Path) -> None:
    place = tmp_path / "c"
    Collection.open(place, model=SlowEmbedder(), create=True).close()
    drivers = [start_driver(place, many, nodes) for _ in range(2)]
    for driver in drivers:
        _, err = driver.communicate(timeout=200)
        assert driver.returncode == 0, err
    with Collection.open(place) as photos:
        assert len(rows(photos)) == COUNT


@pytest.fixture(scope="module")
def store() -> Iterator[Any]:
    with seaweed_server() as server, environment(server.environment):
        yield server


def test_an_object_store_that_is_away_costs_nothing(many: Path, store: Any, tmp_path: Path) -> None:
    """The store holds the images and the collection; a cluster of its own, whose workers know its address."""
    import ray

    data = {f"photos/{path.name}": path.read_bytes() for path in many.iterdir()}
    bucket = store.bucket("away", data)
    struck = threading.Event()

    def strike(done: int, _total: int) -> None:
        if done >= COUNT // 5 and not struck.is_set():
            struck.set()
            store.kill()
            threading.Timer(5, store.start).start()

    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    with environment(paths), Collection.open(f"{bucket}/c", model=SlowEmbedder(), create=True) as photos:
        options = SyncOptions(workers=2, engine=RayEngine(photos.uri, "local", 2, batch=16), progress=strike)
        report = photos.sync(f"{bucket}/photos", options=options)
        assert struck.is_set()
        assert (report.added, report.failed) == (COUNT, [])
        assert len(rows(photos)) == COUNT
    assert not ray.is_initialized()


def test_a_cluster_of_its_own_leaves_the_environment_as_it_was() -> None:
    """Else a node that is started next would ask the others for a token that they do not have."""
    code = """
import os
from lookalike.engine.cluster import connected
with connected("local", cores=1):
    pass
print(os.environ.get("RAY_AUTH_MODE"))
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["None"], done.stderr


def test_the_command_line(nodes: Nodes, photos: Path, tmp_path: Path) -> None:
    def lookalike(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "lookalike", "index", *words, "-c", str(tmp_path / "c"), "--json"]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    done = lookalike(str(photos), "--ray", "local", "--workers", "1")
    assert '"added": 5' in done.stdout, done.stderr
    refused = lookalike(str(photos), "--gpus-per-worker", "1")
    assert (refused.returncode, "add --ray auto" in refused.stderr) == (2, True)
    begun = time.monotonic()
    (photos / "new.png").write_bytes(encode(picture(COLOURS["red"], seed=77)))
    refused = lookalike("--ray", "127.0.0.1:9")
    assert (refused.returncode, "no Ray cluster answers at '127.0.0.1:9'" in refused.stderr) == (1, True)
    assert time.monotonic() - begun < 30


def test_a_collection_in_memory_is_refused(photos: Path) -> None:
    error = pytest.raises(LookalikeError, match="cannot be reached by other processes")
    with Collection.open("memory:", model=ColourEmbedder()) as collection, error:
        collection.sync(photos, engine=RayEngine(collection.uri, "local"))


def test_without_ray_the_sentence_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, photos: Path, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    error = pytest.raises(LookalikeError, match=r"pip install 'lookalike\[ray\]'")
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as collection, error:
        collection.sync(photos, engine=RayEngine(collection.uri))
