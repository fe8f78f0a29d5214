"""A server whose index is on a Ray cluster: the answers of one server, also while replicas and nodes end."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from lookalike.errors import LookalikeError
from lookalike.relate.local_search import update_local_features
from lookalike.search import Collection
from lookalike.types import RGB
from tests.conftest import ColourEmbedder
from tests.engine.conftest import HEAD, ROOT, Nodes
from tests.search.test_parts import TwoPartEmbedder
from tests.server.conftest import Served, free_port, served, wait_for

pytest.importorskip("ray.serve", reason="the engine of many machines comes with the extras ray and serve")
from lookalike.engine import shard_application
from lookalike.engine.shard_application import ShardOptions, serve_shards

COUNT, SHARDS, REPLICAS = 60, 2, 2


def made(n: int) -> RGB:
    """A picture of sixteen blocks; those of 10 and 11, 20 and 21 and so on are the same."""
    n -= n % 10 == 1
    blocks = np.random.default_rng(n).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.kron(blocks, np.ones((16, 16, 1), np.uint8))


def png(image: RGB) -> bytes:
    from tests.conftest import encode

    return encode(image)


@dataclass
class Pair:
    """The same collection served by one server and by shards."""

    single: Served
    sharded: Served
    nodes: Nodes

    def both(self, path: str, **options: Any) -> dict[str, Any]:
        """The answer of both, which is the same but for the time that it took."""
        answers = [one.http.request(options.get("method", "GET"), path, **_sent(options)) for one in self._servers]
        contents = [answer.json() for answer in answers]
        for content in contents:
            content.pop("seconds", None)
            content["query"] = [name.partition(":")[0] for name in content.get("query", [])]
        assert answers[0].status_code == answers[1].status_code, contents
        assert contents[0] == contents[1]
        return dict(contents[0])

    @property
    def _servers(self) -> tuple[Served, Served]:
        return self.single, self.sharded

    def replicas(self, shard: int | None = None) -> list[int]:
        """The processes of a shard, or of all."""
        name = "ray::ServeReplica:lookalike-"
        found = []
        for node in self.nodes.cluster.list_all_nodes():
            for process in psutil.Process(node.all_processes["raylet"][0].process.pid).children(recursive=True):
                title = " ".join(process.cmdline())
                if title.startswith(name) and (shard is None or f"-{shard}:" in title):
                    found.append(process.pid)
        return found


def _sent(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "method"}


@pytest.fixture(scope="module")
def pair(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    import ray

    folder = tmp_path_factory.mktemp("sharded")
    (folder / "photos").mkdir()
    ray.init(address=nodes.address, _node_ip_address=HEAD, log_to_driver=False, logging_level="error")
    with Collection.open(folder / "c", model=TwoPartEmbedder(), create=True) as photos:
        for n in range(COUNT):
            (folder / "photos" / f"{n:02}.png").write_bytes(png(made(n)))
        photos.sync(folder / "photos")
        update_local_features(photos)
        photos.update([f"photos/{n:02}.png" for n in range(0, COUNT, 3)], [{"price": n} for n in range(0, COUNT, 3)])
        rows = photos.store.get([f"photos/{n:02}.png" for n in range(COUNT)], list(photos.store.columns()))
        for row in rows[::-1]:  # of files of their own: each shard has some
            assert row is not None
            photos.store.add([row.id], row.vector[None], [row.metadata])
        options = ShardOptions(str(folder / "c"), SHARDS, REPLICAS, cores=0.5, skip_columns=_hidden())
        with (
            serve_shards(nodes.address, options) as address,
            served(photos, str(folder / "c")) as single,
            served(photos, str(folder / "c"), ray=address, shards=SHARDS, replicas=REPLICAS) as sharded,
        ):
            yield Pair(single, sharded, nodes)
    ray.shutdown()


def _hidden() -> frozenset[str]:
    from lookalike.server.service.collection_service import HIDDEN_COLUMNS

    return HIDDEN_COLUMNS


def name(n: int) -> str:
    return f"id:photos/{n:02}.png"


def test_the_same_hits_in_the_same_order(pair: Pair) -> None:
    for n in range(0, COUNT, 7):
        for k in (1, 5, COUNT + 5):
            hits = pair.both("/v1/search", params={"like": name(n), "k": k})["hits"]
            assert len(hits) == min(k, COUNT - 1)
    twin = pair.both("/v1/search", params={"like": name(10), "k": 3})["hits"][0]
    assert (twin["id"], twin["score"]) == ("photos/11.png", 1.0)
    shard_of = {f.fragment_id % SHARDS for f in pair.single.photos.store.dataset.get_fragments()}
    assert shard_of == set(range(SHARDS))


def test_ties_are_in_order_across_shards(pair: Pair) -> None:
    image = made(10)
    hits = pair.both("/v1/search", method="POST", params={"k": 2}, files={"image": ("x.png", png(image))})["hits"]
    assert [(hit["id"], hit["score"]) for hit in hits] == [("photos/10.png", 1.0), ("photos/11.png", 1.0)]


@pytest.mark.parametrize(
    "parameters",
    [
        {"where": "price > 20"}, {"where": "price > 1000"}, {"where": "price is null and width = 64"},
        {"min_score": 0.5}, {"by": "copy"}, {"by": "alike", "min_score": 0.2}, {"recall": 1},
        {"like": [name(3), name(8)], "minus": name(5)}, {"where": "prize > 20"}, {"where": "price >"},
        {"like": "id:none"}, {"region": "0,0,.5,.5"}, {"parts": True}, {"relations": True},
    ],
)  # fmt: skip
def test_the_same_answers(pair: Pair, parameters: dict[str, Any]) -> None:
    pair.both("/v1/search", params={"like": name(4), "k": 7} | parameters)
    upload = {key: value for key, value in parameters.items() if key not in ("like", "minus", "region")}
    pair.both("/v1/search", method="POST", params={"k": 7} | upload, files={"image": ("x.png", png(made(4)))})


@pytest.mark.parametrize(
    "path",
    [
        "/v1/images?k=7&offset=3", "/v1/images?where=price%3E20&contains=3", "/v1/images?where=prize%3E20",
        "/v1/images/photos%2F07.png", "/v1/images/photos%2F07.png?vector=true", "/v1/images/photos%2F07.png/similar",
        "/v1/images/none", "/v1/collection", "/v1/labels?spread=true", "/v1/failures", "/v1/clusters", "/v1/map",
        "/v1/duplicates",
    ],
)  # fmt: skip
def test_the_rest_of_the_server(pair: Pair, path: str) -> None:
    pair.both(path)


def test_thumbnails_and_shuffled_lists(pair: Pair) -> None:
    path = "/v1/images/photos%2F07.png/thumbnail"
    single, sharded = (one.http.get(path) for one in (pair.single, pair.sharded))
    assert (single.content, single.headers["etag"]) == (sharded.content, sharded.headers["etag"])
    pages = [pair.sharded.http.get(f"/v1/images?order=random&k=40&offset={offset}").json() for offset in (0, 40)]
    ids = [image["id"] for page in pages for image in page["images"]]
    assert len(ids) == len(set(ids)) == pages[0]["total"] == len(pair.single.photos)


def test_new_images_are_visible_at_once_and_everywhere(pair: Pair) -> None:
    new = np.full((64, 64, 3), 255, np.uint8)
    new[:32] = (255, 0, 0)
    added = pair.sharded.http.post("/v1/images", files={"image": ("n.png", png(new))}, data={"id": "new"})
    assert added.status_code == 201
    hits = [pair.sharded.http.get("/v1/search?like=id:new&k=3").json()["hits"] for _ in range(8)]  # of every replica
    assert all(one == hits[0] for one in hits)
    with Collection.open(pair.single.photos.uri, model=TwoPartEmbedder()) as other:
        other.add([new], ["other"])  # by another process, as it were
    wait_for(lambda: pair.sharded.http.get("/v1/images/other").status_code == 200, 10)
    wait_for(lambda: pair.sharded.http.get("/v1/search?like=id:new&k=1").json()["hits"][0]["id"] == "other", 10)
    assert pair.sharded.http.delete("/v1/images/new").status_code == 200
    assert pair.sharded.http.get("/v1/search?like=id:new").status_code == 404
    pair.sharded.http.delete("/v1/images/other")
    labeled = pair.sharded.http.post("/v1/labels", json={"ids": ["photos/03.png"], "label": "three"})
    assert labeled.status_code == 200
    assert {"label": "three", "images": 1} in pair.sharded.http.get("/v1/labels").json()["labels"]
    wait_for(lambda: pair.single.http.get("/v1/labels").json() == pair.sharded.http.get("/v1/labels").json(), 10)


@dataclass
class Load:
    """Searches one after the other in some threads, until it is stopped, and how each was answered."""

    served: Served
    threads: int = 4
    statuses: list[int] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self, thread: int) -> None:
        with httpx.Client(base_url=self.served.url, timeout=60) as client:
            for n in range(thread, 10**6, self.threads):
                if self._stop.is_set():
                    return
                self.statuses.append(client.get("/v1/search", params={"like": name(n % COUNT), "k": 5}).status_code)

    def __enter__(self) -> "Load":
        self._pool = ThreadPoolExecutor(self.threads)
        self._runs = [self._pool.submit(self.run, n) for n in range(self.threads)]
        self.advance()
        return self

    def advance(self) -> None:
        """Wait until a number of further searches was answered."""
        target = len(self.statuses) + 40
        wait_for(lambda: len(self.statuses) >= target)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown()
        for one in self._runs:
            one.result()


def test_killed_replicas_cost_no_request(pair: Pair) -> None:
    all_run(pair)
    with Load(pair.sharded) as load:
        os.kill(pair.replicas(0)[0], signal.SIGKILL)
        load.advance()
        os.kill(pair.replicas(1)[0], signal.SIGKILL)
        load.advance()
        all_run(pair)
        load.advance()
    assert set(load.statuses) == {200}
    test_the_same_hits_in_the_same_order(pair)


def test_a_killed_node_costs_no_request(pair: Pair) -> None:
    all_run(pair)
    with Load(pair.sharded) as load:
        pair.nodes.kill_one()
        load.advance()
        pair.nodes.add()
        all_run(pair)
        load.advance()
    assert set(load.statuses) == {200}


def all_run(pair: Pair) -> None:
    """Wait until Serve counts every replica."""
    from ray import serve

    def running() -> int:
        applications = serve.status().applications.values()
        return sum(one.replica_states.get("RUNNING", 0) for app in applications for one in app.deployments.values())

    wait_for(lambda: len(pair.replicas()) == running() == SHARDS * REPLICAS)


def test_a_shard_without_replicas_is_told_and_comes_back(pair: Pair) -> None:
    all_run(pair)
    refused: list[httpx.Response] = []

    def is_refused() -> bool:
        for pid in pair.replicas(1):  # also those that Serve has started meanwhile
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        refused.append(pair.sharded.http.get("/v1/search", params={"like": name(1)}))
        return refused[-1].status_code != 200

    wait_for(is_refused)
    assert (refused[-1].status_code, refused[-1].json()["error"]) == (503, "shard_unavailable")
    assert "part 2 of 2 of the collection" in refused[-1].json()["message"]
    assert refused[-1].headers["retry-after"] == "2"
    assert pair.sharded.http.get("/v1/images/photos%2F07.png/original").status_code == 200  # by the store
    wait_for(lambda: pair.sharded.http.get("/v1/search", params={"like": name(1)}).status_code == 200)
    test_the_same_hits_in_the_same_order(pair)


def test_another_number_of_shards_is_refused(pair: Pair) -> None:
    options = ShardOptions(pair.single.photos.uri, SHARDS + 1)
    with pytest.raises(LookalikeError, match="with 2 shards; use --shards 2"), serve_shards("auto", options):
        pass


def test_a_collection_in_memory_is_refused() -> None:
    with pytest.raises(LookalikeError, match="in memory"), serve_shards("local", ShardOptions("memory:")):
        pass


@pytest.mark.parametrize(
    ("status", "message", "sentence"),
    [
        ("DEPLOYING", "1 replicas have taken more than 30s to be scheduled", "add a node to the cluster"),
        ("DEPLOY_FAILED", "Traceback\nValueError: it is broken", r"could not be started \(ValueError: it is broken\)"),
    ],
)
def test_shards_that_do_not_start(monkeypatch: pytest.MonkeyPatch, status: str, message: str, sentence: str) -> None:
    class Serve:
        """What Serve says of an application."""

        @staticmethod
        def status() -> Any:
            deployment = SimpleNamespace(message=message, replica_states={"STARTING": 1})
            application = SimpleNamespace(status=status, message="", deployments={"shard": deployment})
            return SimpleNamespace(applications={"a-0": application})

    monkeypatch.setattr(shard_application, "START_SECONDS", 0.3)
    with pytest.raises(LookalikeError, match=sentence):
        shard_application._wait_until_running(Serve, ["a-0"])


def test_ctrl_c_ends_the_cluster_that_was_started(tmp_path: Path) -> None:
    with Collection.open(tmp_path / "c", create=True) as photos:
        photos.add([made(n) for n in range(4)], [f"{n}" for n in range(4)])
    port = free_port()
    words = ["--port", str(port), "--ray", "local", "--shards", "2", "--workers", "2"]
    command = [sys.executable, "-m", "lookalike", "serve", "-c", str(tmp_path / "c"), *words]
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    own: list[psutil.Process] = []
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:

            def is_ready() -> bool:
                assert process.poll() is None, process.communicate()
                try:
                    return client.get("/readyz").status_code == 200
                except httpx.TransportError:
                    return False

            wait_for(is_ready, 120)
            assert len(client.get("/v1/search?like=id:1").json()["hits"]) == 3
            own = psutil.Process(process.pid).children(recursive=True)
            replicas = [one for one in own if "ServeReplica" in " ".join(one.cmdline())]
            assert len(replicas) == 2
            for replica in replicas:  # Ray's own server wants a token; Serve's does not, so it is on the loopback
                ports = [one.laddr.ip for one in replica.net_connections() if one.status == "LISTEN"]
                assert sorted(ip.rpartition(":")[2].split(".")[0] for ip in ports) == ["", "127"], ports
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err.splitlines()[-1]) == (0, "stopped"), err
        assert "SIGTERM" not in err  # the workers have ended in order
        _, alive = psutil.wait_procs(own, timeout=20)
        assert not alive
    finally:
        process.kill()
        process.wait()
        for one in own:
            if one.is_running():
                one.kill()


def test_only_routers_with_shards_import_ray(tmp_path: Path) -> None:
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos:
        photos.add([made(1)], ["x"])
    code = (
        "import sys; from lookalike.server import Settings, create_app;"
        f"create_app(Settings(uri={str(tmp_path / 'c')!r}));"
        "assert not [name for name in sys.modules if name.startswith(('ray', 'lookalike.engine'))]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_router_of_a_collection_that_is_not_served(pair: Pair) -> None:
    from lookalike.engine.shard_application import RemoteShards

    with pytest.raises(LookalikeError, match="does not serve this collection"):
        RemoteShards(pair.nodes.address, ShardOptions("s3://nowhere/c"))
