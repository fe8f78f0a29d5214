"""Connect to a Ray cluster, or start one on this machine."""

import logging
import os
import re
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lookalike.errors import BadQuery, LookalikeError

AUTO, LOCAL = "auto", "local"
STORE_BYTES = 512 * 2**20  # of shared memory, of a cluster on this machine: batches of file names, and the model
# Ray replaces 127.0.0.1 by the outer address of the machine; on Linux, every 127.x is the loopback.
LOOPBACK = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
CONNECT_SECONDS = 5.0
AUTHENTICATION = "RAY_AUTH_MODE"
log = logging.getLogger(__name__)
_HOST_PORT = re.compile(r"(?:ray://)?\[?([^/\[\]]+?)\]?:(\d{1,5})")


def load_ray() -> Any:
    """Import Ray without its usage reports. Raises LookalikeError where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the default to come; else Ray warns of it
    try:
        import ray
    except ImportError as error:
        raise LookalikeError("Ray is not installed; install it with: pip install 'lookalike[ray]'") from error
    return ray


def load_serve() -> Any:
    """Import Ray Serve, whose log then has warnings of its own alone. Raises LookalikeError where it is incomplete."""
    load_ray()
    try:
        from ray import serve
    except ImportError as error:
        raise LookalikeError(
            f"Ray Serve cannot be imported ({error}); install it with: pip install 'lookalike[ray,serve]'"
        ) from error
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    return serve


def bind_to_node() -> None:
    """Have the replica of Serve in this process listen on the address of its node alone.

    Serve listens on all addresses for calls that it unpacks without a token (Ray 2.60); on a machine of its own a
    cluster is reached by the loopback address, and so must its replicas.
    """
    ray = load_ray()
    from ray.serve._private import replica

    address = ray.util.get_node_ip_address()
    host = f"[{address}]" if ":" in address else address
    bind = getattr(replica, "add_port_to_grpc_server", None)
    if bind is None:
        log.warning("this version of Ray Serve may listen on all addresses; close its ports to other networks")
        return
    replica.add_port_to_grpc_server = lambda server, at: bind(server, f"{host}:{at.rpartition(':')[2]}")


@contextmanager
def connected(
    address: str, *, cores: int | None = None, niceness: int | None = None, store_bytes: int | None = STORE_BYTES
) -> Iterator[Any]:
    """Yield the module `ray`, connected to a cluster; a connection that exists already is used and left open.

    `address`: "auto" for the cluster that this machine belongs to ($RAY_ADDRESS, if it is set), "host:port" or
    "ray://host:10001" for another, "local" to start one on this machine with `cores` workers; they talk by the
    loopback address, but two of Ray's servers listen on all, with a token. `niceness`: of the workers of a cluster that
    is started; Ray's own is 15, by which everything else on the machine goes first. `store_bytes`: of shared memory for
    a new cluster; None: a third of the memory, as Ray does.
    Raises LookalikeError.
    """
    check_address(address)
    ray = load_ray()
    if ray.is_initialized():
        yield ray
        return
    options: dict[str, Any] = {"logging_level": "error", "log_to_driver": False, "configure_logging": False}
    if address == LOCAL:
        options |= {
            "address": "local", "num_cpus": cores, "include_dashboard": False, "object_store_memory": store_bytes,
            "_node_ip_address": LOOPBACK,
        }  # fmt: skip
        if niceness is not None:
            options |= {"_system_config": {"worker_niceness": niceness}}
    else:
        options |= {"address": address}
    _check_port(address)
    with _unchanged(AUTHENTICATION):
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "lance is not fork-safe")  # Ray forks to run other programs only
                ray.init(**options)
        except Exception as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise _no_cluster(address, reason) from error
        except BaseException:  # Ctrl-C: what has started of a cluster ends
            ray.shutdown()
            raise
        try:
            yield ray
        finally:
            ray.shutdown()


@contextmanager
def _unchanged(variable: str) -> Iterator[None]:
    """Restore an environment variable after the block.

    Ray sets the mode of authentication for a cluster that it starts. Left behind, it would apply to the next cluster,
    whose other nodes know nothing of a token and refuse it.
    """
    before = os.environ.get(variable)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(variable, None)
        else:
            os.environ[variable] = before


def check_address(address: str) -> None:
    """Raise BadQuery if this cannot be the address of a cluster."""
    if address not in (AUTO, LOCAL) and not _HOST_PORT.fullmatch(address):
        raise BadQuery(f"{address!r} is no address of a cluster; use auto, local, HOST:PORT or ray://HOST:10001")


def _check_port(address: str) -> None:
    """Raise LookalikeError if nothing listens at host:port, where Ray itself would wait for a minute."""
    match = _HOST_PORT.fullmatch(address)
    if match is None:
        return
    try:
        socket.create_connection((match[1], int(match[2])), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise _no_cluster(address, error.strerror or str(error)) from error


def _no_cluster(address: str, reason: str) -> LookalikeError:
    return LookalikeError(
        f"no Ray cluster answers at {address!r} ({reason}); start one with: ray start --head, "
        "or use --ray local for the cores of this machine"
    )


def no_room(ray: Any, *, cores: float = 1, gpus: float = 0, seconds: float) -> LookalikeError:
    """Return the error of workers for which the cluster has had no room for so many seconds."""
    free = ray.available_resources()
    return LookalikeError(
        f"no worker could be started for {seconds:.0f} s: each needs {cores:g} cores and "
        f"{gpus:g} GPUs, and the cluster has {free.get('CPU', 0):g} and {free.get('GPU', 0):g} free; "
        "add a node, or end other work"
    )


def cause_of(error: Any) -> Exception:
    """Return the error that a worker raised."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, LookalikeError):
        return cause
    return LookalikeError(f"a worker failed ({cause or error!r:.500}); see the logs of the Ray cluster")
