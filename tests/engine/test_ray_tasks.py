"""The same verbs by this machine and by a Ray cluster: the same results to the last bit, whatever ends meanwhile."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike.cluster import cluster
from lookalike.cluster import kmeans as kmeans_function
from lookalike.duplicates import Duplicates, Options, find_duplicates
from lookalike.duplicates.search.processes import MIN_PAIRS, Workers
from lookalike.engine import RayEngine, RayTasks
from lookalike.errors import BadQuery, CollectionError, LookalikeError
from lookalike.evaluate import BenchmarkPlan, benchmark, evaluate, read_truth
from lookalike.indexing import sync
from lookalike.schema import PROOFS
from lookalike.search import Collection
from lookalike.store.lance.store import LanceStore
from lookalike.tasks import LocalTasks, TaskPool
from tests.conftest import ColourEmbedder
from tests.duplicates.pictures import save, scene
from tests.duplicates.test_processes import PLAIN, data
from tests.engine.conftest import ROOT, Nodes
from tests.engine.tasks import broken, dies_once, doubled, refused, total
from tests.object_stores import environment, seaweed_server

SCENES = 10  # with three copies each


@pytest.fixture
def tasks(connection: Nodes) -> Iterator[RayTasks]:
    with RayTasks(connection.address) as pool:
        yield pool


@pytest.fixture(params=["local", "ray"])
def pool(request: pytest.FixtureRequest) -> TaskPool:
    return LocalTasks(2) if request.param == "local" else request.getfixturevalue("tasks")


@pytest.fixture(autouse=True)
def few_pairs_take_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.duplicates.search.processes.MIN_PAIRS", 10)


# --- any task


def test_results_come_in_the_order_of_the_items(pool: TaskPool) -> None:
    assert list(pool.map(doubled, range(30), 100)) == [100 + 2 * n for n in range(30)]
    assert list(pool.map(doubled, [], 100)) == []


def test_a_shared_value_is_the_item(pool: TaskPool) -> None:
    values = [pool.share([n, n + 1]) for n in range(5)]
    for shared in (0, 10):
        assert list(pool.map(total, [*values, [7]], shared)) == [shared + 2 * n + 1 for n in range(5)] + [shared + 7]


def test_few_items_are_read_ahead(pool: TaskPool) -> None:
    read: list[int] = []
    results = pool.map(doubled, (read.append(n) or n for n in range(1000)), 0)  # type: ignore[func-returns-value]
    assert next(results) == 0
    assert len(read) <= 3 * pool.workers + 1
    results.close()  # type: ignore[attr-defined]


def test_an_error_of_ours_arrives_as_it_is(pool: TaskPool) -> None:
    with pytest.raises(BadQuery, match="item 2 is refused"):
        list(pool.map(refused, [2], 0))


def test_another_error_names_itself(tasks: RayTasks) -> None:
    with pytest.raises(LookalikeError, match=r"a worker failed.*ZeroDivisionError"):
        list(tasks.map(broken, [2], 0))


def test_tasks_whose_process_ended_are_repeated(tasks: RayTasks, tmp_path: Path) -> None:
    assert list(tasks.map(dies_once, range(3), str(tmp_path))) == [0, 1, 2]


# --- duplicates


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copies")
    for n in range(SCENES):
        image = scene(n)
        save(image, folder / f"{n}.png")
        save(image, folder / f"{n} small.jpg", scale=0.6)
        save(np.ascontiguousarray(image[:, ::-1]), folder / f"{n} mirrored.jpg", quality=80)
        save(np.ascontiguousarray(image[20:150, 20:200]), folder / f"{n} cropped.jpg", quality=80)
    return folder


@pytest.fixture(scope="module")
def indexed(copies: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("collections") / "c"
    with Collection.open(place, create=True) as photos:
        photos.sync(copies)
    return place


@pytest.fixture(scope="module")
def expected(indexed: Path) -> str:
    """The duplicates as this machine finds them."""
    return searched(indexed, LocalTasks(1))


def searched(place: Path, tasks: TaskPool, progress: Callable[[int, int], None] | None = None) -> str:
    """Search from the start, without the proofs of an earlier search."""
    shutil.rmtree(place / "proofs.lance", ignore_errors=True)
    with Collection.open(place) as photos:
        return as_text(find_duplicates(photos, options=Options(tasks=tasks, progress=progress)))


def as_text(result: Duplicates, groups: int = SCENES) -> str:
    assert len(result) == groups
    return json.dumps(asdict(result) | {"seconds": 0}, default=str)


def test_duplicates_are_the_same(tasks: RayTasks, indexed: Path, expected: str) -> None:
    assert searched(indexed, tasks) == expected


def test_duplicates_are_the_same_when_processes_are_killed(
    connection: Nodes, tasks: RayTasks, indexed: Path, expected: str
) -> None:
    struck: list[int] = []

    def strike(done: int, _total: int) -> None:
        pids = connection.workers("ray::_Process")
        if pids and not struck and done > 4:
            struck.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)

    assert searched(indexed, tasks, strike) == expected
    assert struck


def test_a_machine_that_cannot_read_the_images_is_named(tasks: RayTasks) -> None:
    images = [data(1), data(101, scale=0.6)]
    elsewhere = [replace(each, file=replace(each.file, path=f"/no/such/folder/{each.key}.png")) for each in images]
    workers = Workers(PLAIN, geometry=True, pairs=MIN_PAIRS, tasks=tasks)
    try:
        with pytest.raises(LookalikeError, match="cannot read /no/such/folder; mount it there at the same path"):
            workers.result(workers.verify(elsewhere[0], elsewhere[1:]))
        assert workers.result(workers.verify(images[0], images[1:]))[0] is not None
    finally:
        workers.close()


# --- optimize


def made_store(place: str) -> LanceStore:
    random = np.random.default_rng(0)
    store = LanceStore.create(place, 32, {"n": int}, index_rows=2000)
    for start in range(0, 3000, 600):
        vectors = random.normal(size=(600, 32)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        names = [f"{n:05}" for n in range(start, start + 600)]
        store.add(names, vectors, [{"n": n} for n in range(start, start + 600)])
    store.delete(["00005", "00700", "02999"])
    return store


def index_files(store: LanceStore) -> dict[str, str]:
    folder = store._index_folder
    return {
        f"{path.parent.name.partition('-')[0]}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.glob("*/*")
    }


def optimized(place: str, tasks: TaskPool | None) -> tuple[dict[str, str], list[int]]:
    """The files of the index, and the rows of each file of the data set."""
    store = made_store(place)
    store.optimize(tasks)
    return index_files(store), [part.count_rows() for part in store._rows.latest().get_fragments()]


def test_an_index_is_the_same_to_the_last_bit(tasks: RayTasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.store.lance.build_index.ENCODED_ROWS", 256)
    here, there = optimized(str(tmp_path / "a"), None), optimized(str(tmp_path / "b"), tasks)
    assert here == there
    assert "segment/lists.bin" in here[0]
    assert here[1] == [2997]


def test_a_large_collection_is_optimized_by_the_engine_that_filled_it(
    connection: Nodes, copies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "MIN_ROWS_BY_TASKS", 4 * SCENES)
    merged: list[Any] = []
    inner = RayTasks.map

    def observed(self: RayTasks, function: Any, items: Any, shared: Any) -> Iterator[Any]:
        listed = list(items)
        merged.extend(listed)
        return inner(self, function, listed, shared)

    monkeypatch.setattr(RayTasks, "map", observed)
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos:
        engine = RayEngine(photos.uri, connection.address, batch=8)
        assert photos.sync(copies, engine=engine).added == 4 * SCENES
        assert len(merged) == 1  # all files of eight rows as one
        rows = [part.count_rows() for part in photos.store._rows.latest().get_fragments()]  # type: ignore[attr-defined]
        assert rows == [4 * SCENES]


def test_a_collection_in_memory_is_not_optimized_by_others(tasks: RayTasks) -> None:
    error = pytest.raises(CollectionError, match="only collections in a folder or an object store")
    with Collection.open("memory:", model=ColourEmbedder()) as photos, error:
        photos.optimize(tasks=tasks)


def test_a_graph_of_centroids_is_sent_along(monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    from lookalike.store.ivf import centroids
    from lookalike.store.ivf.row_encoder import RowEncoder

    monkeypatch.setattr(centroids, "MIN_GRAPH_LISTS", 10)
    random = np.random.default_rng(0)
    vectors = random.normal(size=(2000, 32)).astype(np.float32)
    trained = centroids.Centroids.train(vectors, 40)
    encoder = RowEncoder(trained)
    twin = pickle.loads(pickle.dumps(encoder))
    here, there = encoder.encode(vectors), twin.encode(vectors)
    assert (here.lists == there.lists).all()
    assert (here.codes == there.codes).all()


# --- cluster


def test_clusters_are_the_same(tasks: RayTasks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["lookalike.cluster.kmeans"], "MAX_IN_ONE", 8192)
    random = np.random.default_rng(0)
    vectors = random.normal(size=(20_000, 24)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    here, there = (kmeans_function(vectors, 30, tasks=each) for each in (LocalTasks(2), tasks))
    for name in ("centers", "assignments", "scores"):
        assert getattr(here, name).tobytes() == getattr(there, name).tobytes()
    assert here.scores.mean() > 0.4  # of vectors and centers that have nothing to do with each other: 0


def test_density_is_for_one_machine(tasks: RayTasks) -> None:
    error = pytest.raises(BadQuery, match="on one machine only")
    with Collection.open("memory:", model=ColourEmbedder()) as photos, error:
        cluster(photos, method="density", tasks=tasks)


# --- evaluate


def test_figures_are_the_same(tasks: RayTasks, copies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["lookalike.evaluate.retrieval"], "_CELLS", 2000)
    table = tmp_path / "truth.csv"
    lines = [f"{path},{path.name.split('.')[0].split(' ')[0]}" for path in sorted(copies.iterdir())]
    table.write_text("path,label\n" + "\n".join([*lines, f"{tmp_path}/absent.png,1"]) + "\n")
    reports = [evaluate(ColourEmbedder(), read_truth(table), tasks=each).to_json() for each in (None, tasks)]
    assert reports[0] == reports[1]
    assert reports[0]["counts"]["queries with a right answer"] == 4 * SCENES


def test_a_benchmark_is_the_same(tasks: RayTasks, copies: Path) -> None:
    plan = BenchmarkPlan(sample=6, gallery=12, edits=("crop", "blur"), strengths=(0.5,))
    photos = sorted(copies.glob("[0-9].png"))
    results = [benchmark(photos, [ColourEmbedder()], plan=plan, tasks=each).to_json() for each in (None, tasks)]
    assert results[0] == results[1]


# --- a bucket, and the command line


def lookalike(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "lookalike", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_results_are_the_same_in_a_bucket(copies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images and collection in a bucket; a cluster of its own, whose workers know its address."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT)]))
    images = {f"photos/{path.name}": path.read_bytes() for path in copies.glob("[0-4][. ]*")}
    with seaweed_server() as server, environment(server.environment):
        bucket = server.bucket("verbs", images)
        with Collection.open(f"{bucket}/c", create=True) as photos:
            photos.sync(f"{bucket}/photos")
            here = as_text(find_duplicates(photos, options=Options(tasks=LocalTasks(1))), 5)
        with Collection.open(f"{bucket}/c") as photos, RayTasks("local", cores=2) as tasks:
            proofs = photos.store.table(PROOFS.name, key=PROOFS.key)
            proofs.remove([str(row["pair"]) for row in proofs.all()])
            assert as_text(find_duplicates(photos, options=Options(tasks=tasks)), 5) == here
            assert optimized(f"{bucket}/made", tasks) == optimized(str(tmp_path / "made"), None)


def test_without_ray_every_verb_names_the_extra(indexed: Path) -> None:
    code = "import sys; sys.modules['ray'] = None; from lookalike.cli.entry import run; run()"
    for words in (["duplicates"], ["optimize"], ["cluster", "--levels", "4"]):
        command = [sys.executable, "-c", code, *words, "--ray", "local", "-c", str(indexed)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert (ran.returncode, "pip install 'lookalike[ray]'" in ran.stderr) == (1, True), ran.stderr


def test_where_nothing_is_searched_a_cluster_is_a_usage_error(indexed: Path) -> None:
    for words in (["duplicates", "--last"], ["optimize", "--drop-index"], ["cluster", "--status"]):
        refused = lookalike(*words, "--ray", "local", "-c", str(indexed))
        assert (refused.returncode, "--ray" in refused.stderr) == (2, True), refused.stderr


def test_ctrl_c_leaves_no_process(indexed: Path) -> None:
    import psutil

    shutil.rmtree(indexed / "proofs.lance", ignore_errors=True)
    command = [sys.executable, "-m", "lookalike", "duplicates", "--ray", "local", "-c", str(indexed), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as verb:
        children: list[psutil.Process] = []
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not any("ray::_" in "".join(cmdline(each)) for each in children):
            time.sleep(0.1)
            children = psutil.Process(verb.pid).children(recursive=True)
        verb.send_signal(signal.SIGINT)
        _, err = verb.communicate(timeout=60)
    assert verb.returncode == 130, err
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


def cmdline(process: Any) -> list[str]:
    import psutil

    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
