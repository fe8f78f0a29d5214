"""A Ray cluster of three nodes, each with a loopback address of its own: Ray replaces 127.0.0.1 by an outer one."""

import os
import secrets
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NODE_BYTES = 100 * 2**20
# Other addresses in every process: two runs of the tests on one machine have a cluster each.
_NETWORK = os.environ.setdefault("LOOKALIKE_TEST_NETWORK", f"127.{secrets.randbelow(250) + 2}.{secrets.randbelow(256)}")
# Ray gives a cluster of its own a token, and a process that had one cannot be called by nodes without. So all have one.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
HEAD, *OTHERS = (f"{_NETWORK}.{n}" for n in (2, 3, 4))


class Nodes:
    """The cluster: nodes can be added, and end as by a power cut."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        options = {"num_cpus": 1, "object_store_memory": NODE_BYTES, "include_dashboard": False}
        self._options = options
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "lance is not fork-safe")  # it forks to run another program
            self.cluster: Any = Cluster(
                initialize_head=True, head_node_args={**options, "node_ip_address": HEAD}, shutdown_at_exit=False
            )
        self._addresses = list(OTHERS)
        for _ in OTHERS:
            self.add()
        self.address = str(self.cluster.address)

    def add(self) -> None:
        address = self._addresses.pop(0) if self._addresses else OTHERS[-1]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "lance is not fork-safe")  # it forks to run another program
            self.cluster.add_node(num_cpus=1, object_store_memory=NODE_BYTES, node_ip_address=address, wait=True)

    def kill_one(self) -> None:
        """End a node that is not the head."""
        node = next(iter(self.cluster.worker_nodes))
        self._addresses.append(node.node_ip_address)
        self.cluster.remove_node(node, allow_graceful=False)

    def workers(self, name: str = "ray::_Worker") -> list[int]:
        """The processes that embed, or others by their name."""
        import psutil

        raylets = [node.all_processes["raylet"][0].process.pid for node in self.cluster.list_all_nodes()]
        children = [child for pid in raylets for child in psutil.Process(pid).children(recursive=True)]
        found = []
        for child in children:
            with suppress(psutil.Error):  # it has just ended
                found += [child.pid] * (name in " ".join(child.cmdline()))
        return found


@pytest.fixture(scope="session")
def nodes() -> Iterator[Nodes]:
    pytest.importorskip("ray", reason="the engine of many machines comes with the extra ray")
    from lookalike.engine.cluster import load_ray

    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = paths  # workers find the embedder of the tests
    ray = load_ray()
    started = Nodes()
    try:
        yield started
    finally:
        ray.shutdown()
        started.cluster.shutdown()
        os.environ.pop("PYTHONPATH") if before is None else os.environ.__setitem__("PYTHONPATH", before)


@pytest.fixture
def connection(nodes: Nodes) -> Iterator[Nodes]:
    """The cluster, with this process connected to it."""
    import ray

    ray.init(address=nodes.address, _node_ip_address=HEAD, log_to_driver=False, logging_level="error")
    yield nodes
    ray.shutdown()
