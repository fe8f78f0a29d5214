"""The shards of a served collection as applications of Ray Serve, one for each shard: started, called and ended.

Serve places the replicas, restarts those that end, and hands each call to one of them. A call whose replica ends is
made once more; a shard without replicas is an error at once, until Serve has restarted one.
"""

import hashlib
import logging
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from math import ceil
from typing import Any

from lookalike.engine.cluster import LOCAL, connected, load_serve
from lookalike.engine.shard_replica import ShardReplica
from lookalike.engine.sharded_index import ShardedIndex, ShardFacts
from lookalike.errors import LookalikeError, ShardUnavailable
from lookalike.store.lance.shard import ShardSpec
from lookalike.store.lance.store import INDEX_ROWS
from lookalike.store.serving import ServingIndex

DEPLOYMENT = "shard"
CONTROLLER = "SERVE_CONTROLLER_ACTOR"
MAX_ONGOING = 16  # calls a replica has, each of up to 64 searches; others wait in the router
SLICE_SECONDS = 1.0  # without an answer; then it is checked whether the shard has replicas
PATIENCE_SECONDS = 5.0  # then the call is made once more: its machine may be gone
CALL_SECONDS = 60.0
MAX_SENT = 3
PROBE_SECONDS = 0.5  # between looks at a shard without replicas
START_SECONDS = 300.0  # while a replica finds no room
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShardOptions:
    """How a collection is divided: `shards`, of which each has `replicas` with `cores` each. See `ShardSpec`."""

    uri: str
    shards: int = 1
    replicas: int = 1
    cores: float = 1.0
    skip_columns: frozenset[str] = frozenset()
    index_rows: int = INDEX_ROWS
    folder: str = ""

    @property
    def application(self) -> str:
        """The name of its applications, less the number: all routers of a collection share its shards."""
        return f"lookalike-{hashlib.sha256(self.uri.encode()).hexdigest()[:12]}"

    def spec(self, number: int) -> ShardSpec:
        return ShardSpec(self.uri, number, self.shards, self.skip_columns, self.index_rows, self.folder)


@contextmanager
def serve_shards(address: str, options: ShardOptions) -> Iterator[str]:
    """Run the shards of a collection on a cluster until the block ends; yield the cluster's own address.

    Shards that another router has started already are used, and left running. Raises LookalikeError.
    """
    if options.uri.startswith("memory:"):
        raise LookalikeError("a collection in memory cannot be reached by other processes; name a folder or a bucket")
    cores = ceil(options.shards * options.replicas * options.cores) if address == LOCAL else None
    with connected(address, cores=cores, niceness=0) as ray:
        serve = load_serve()
        started = _start_serve(ray, serve)
        own: list[str] = []
        try:
            own += _run(ray, serve, options)
            yield str(ray.get_runtime_context().gcs_address)
        finally:
            if address != LOCAL:  # a cluster of this command's own ends with all that it has
                _end(serve, own, started=started)


def _end(serve: Any, names: Sequence[str], *, started: bool) -> None:
    """End these applications, and Serve if it was `started` here and nobody else uses it."""
    with suppress(Exception):  # what does not answer any more has ended
        for name in names:
            serve.delete(name)
        if started and not serve.status().applications:
            serve.shutdown()


def _start_serve(ray: Any, serve: Any) -> bool:
    """Start Serve, without its HTTP proxies, unless the cluster has it. Returns whether it was started."""
    if any(actor["name"] == CONTROLLER for actor in ray.util.list_named_actors(all_namespaces=True)):
        return False
    serve.start(proxy_location="Disabled", logging_config={"log_level": "WARNING", "enable_access_log": False})
    return True


def _run(ray: Any, serve: Any, options: ShardOptions) -> list[str]:
    """Start the applications unless they run. Returns the names of those that were started."""
    nodes = sum(node["Alive"] and node["Resources"].get("CPU", 0) >= options.cores for node in ray.nodes())
    names = [f"{options.application}-{n}" for n in range(options.shards)]
    running = {name for name in serve.status().applications if name.startswith(f"{options.application}-")}
    if running:
        if running != set(names):
            raise LookalikeError(
                f"the cluster serves this collection with {len(running)} shards; use --shards {len(running)}, "
                "or stop the server that started them"
            )
        log.info("the shards are running already; they are left running")
        return []
    deployment = serve.deployment(ShardReplica).options(
        name=DEPLOYMENT,
        num_replicas=options.replicas,
        max_replicas_per_node=ceil(options.replicas / max(1, nodes)),  # a node that ends takes no shard along
        max_ongoing_requests=MAX_ONGOING,
        ray_actor_options={"num_cpus": options.cores},
        health_check_period_s=2,
        health_check_timeout_s=30,
        graceful_shutdown_timeout_s=2,
    )
    targets = [
        serve.RunTarget(deployment.bind(options.spec(n)), name=name, route_prefix=None) for n, name in enumerate(names)
    ]
    serve.run_many(targets, wait_for_applications_running=False)
    try:
        _wait_until_running(serve, names)
    except BaseException:
        _end(serve, names, started=False)
        raise
    return names


def _wait_until_running(serve: Any, names: Sequence[str]) -> None:
    """Wait until every application runs. Raises LookalikeError where one fails, or no replica finds room."""
    last = time.monotonic()
    while True:
        applications = serve.status().applications
        states = {name: applications[name] for name in names if name in applications}
        if len(states) == len(names) and all(state.status == "RUNNING" for state in states.values()):
            return
        for state in states.values():
            if state.status in ("DEPLOY_FAILED", "UNHEALTHY"):
                messages = [deployment.message for deployment in state.deployments.values()]
                raise LookalikeError(f"a shard could not be started ({_last_line(messages or [state.message])})")
        if not any(_waits_for_room(state) for state in states.values()):
            last = time.monotonic()  # a shard that is read or indexed takes as long as it takes
        if time.monotonic() - last > START_SECONDS:
            raise LookalikeError("no replica of a shard could be started; add a node to the cluster, or end other work")
        time.sleep(0.1)


def _waits_for_room(application: Any) -> bool:
    """Whether Serve says that a replica finds no machine; it counts such a one as starting."""
    return any("to be scheduled" in deployment.message for deployment in application.deployments.values())


def _last_line(messages: Sequence[str]) -> str:
    lines = [line.strip() for message in messages for line in message.splitlines() if line.strip()]
    return lines[-1][:500] if lines else "Serve gives no reason"


def _replicas(application: Any, *states: str) -> int:
    """How many replicas of an application are in one of these states."""
    deployments = application.deployments.values()
    return sum(count for one in deployments for state, count in one.replica_states.items() if state in states)


@contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Leave the handlers of SIGTERM and SIGINT as they are: Ray's would end a server before its requests."""
    if threading.current_thread() is not threading.main_thread():
        yield  # where signals cannot be handled
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class RemoteShards:
    """The shards of a collection, for a router (`server.service.collection_service.Shards`).

    `address`: of the cluster, to which this process is connected at once. Raises LookalikeError.
    """

    def __init__(self, address: str, options: ShardOptions) -> None:
        self.concurrency = options.replicas  # calls: each replica has one, and so many batches take turns
        self._has_asked = False
        self._stack = ExitStack()
        with _own_signal_handlers():
            ray = self._stack.enter_context(connected(address))
        self._calls = ServeCalls(ray, load_serve(), options)

    def index(self, version: int, previous: ServingIndex | None) -> ServingIndex:
        """The index of a version, once all replicas have loaded it; until then the previous one.

        Without a previous one, all versions that replicas hold may be those of a collection that was replaced.
        """
        if previous is None and self._has_asked:
            self._calls.forget()
        self._has_asked = True
        try:
            facts = self._calls.prepare(version)
        except ShardUnavailable:
            if previous is None:
                raise
            return previous  # whose searches say so
        if facts is not None:
            return ShardedIndex(self._calls, version, facts)
        if previous is None:
            raise ShardUnavailable("a part of the collection is being loaded; try again in a moment")
        return previous

    def close(self) -> None:
        self._stack.close()


class ServeCalls:
    """Calls to the shards, each to one live replica. See `ShardCalls`."""

    def __init__(self, ray: Any, serve: Any, options: ShardOptions) -> None:
        self._serve, self.task_error = serve, ray.exceptions.RayTaskError
        self._names = [f"{options.application}-{n}" for n in range(options.shards)]
        try:
            self._handles = [
                serve.get_deployment_handle(DEPLOYMENT, app_name=name).options(_by_reference=False)
                for name in self._names
            ]
        except KeyError as error:
            raise LookalikeError(
                "the cluster does not serve this collection; start a server of it with --ray"
            ) from error
        self._down: dict[int, float] = {}  # shards without replicas, and when that was checked
        self._probing = threading.Lock()

    def call(self, version: int, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        self._check_up()
        calls = [_Call(self, n, version, method, one) for n, one in enumerate(arguments)]
        return [call.result() for call in calls]

    def prepare(self, version: int) -> list[ShardFacts] | None:
        """Have all replicas load a version. None while one of them still does. Raises ShardUnavailable."""
        self._check_up()
        facts: list[ShardFacts] = []
        for n, handle in enumerate(self._handles):
            answers = self._broadcast(n, handle, version)
            if any(answer is None for answer in answers):
                return None
            facts.append(answers[0])
        return facts

    def _broadcast(self, n: int, handle: Any, version: int) -> list[Any]:
        """What the live replicas of a shard answer. Raises ShardUnavailable where there are none."""
        try:
            answers = handle.broadcast("prepare", version).results(timeout_s=CALL_SECONDS, return_exceptions=True)
        except Exception as error:  # none is known yet, or none any more
            answers = [error]
        if alive := [answer for answer in answers if not isinstance(answer, Exception)]:
            return alive
        causes = [getattr(answer, "cause", None) for answer in answers]
        for cause in causes:
            if isinstance(cause, LookalikeError):
                raise cause
        raise self.unavailable(n)

    def forget(self) -> None:
        """Have all replicas drop what they hold."""
        for handle in self._handles:
            with suppress(Exception):  # a replica that does not answer begins again
                handle.broadcast("forget").results(timeout_s=CALL_SECONDS, return_exceptions=True)

    def send(self, n: int, version: int, method: str, arguments: tuple[Any, ...]) -> Any:
        return self._handles[n].call.remote(version, method, arguments)

    def is_up(self, n: int) -> bool:
        """Whether a shard has a replica that runs, by Serve's own account."""
        try:
            application = self._serve.status().applications.get(self._names[n])
        except Exception:  # the controller is restarting: nothing is known of the replicas
            return True
        return application is not None and _replicas(application, "RUNNING") > 0

    def unavailable(self, n: int) -> ShardUnavailable:
        """Note that a shard has no replica, and return the error."""
        if n not in self._down:
            log.warning("shard %d of the collection has no live replica", n)
        self._down[n] = time.monotonic()
        return self._error(n)

    def _error(self, n: int) -> ShardUnavailable:
        return ShardUnavailable(
            f"no machine answers for part {n + 1} of {len(self._names)} of the collection at present; "
            "try again in a moment"
        )

    def _check_up(self) -> None:
        """Raise ShardUnavailable at once for a shard that had no replica a moment ago."""
        for n in list(self._down):
            if not (self._is_due(n) and self.is_up(n)):
                raise self._error(n)
            self._down.pop(n, None)
            log.info("shard %d of the collection has a live replica again", n)

    def _is_due(self, n: int) -> bool:
        """Whether a shard that had no replica is to be looked at again; of many requests at a time, one is told so."""
        with self._probing:
            now = time.monotonic()
            is_due = now - self._down.get(n, -PROBE_SECONDS) >= PROBE_SECONDS
            if is_due:
                self._down[n] = now
            return is_due


class _Call:
    """One call to one shard, made once more if its replica ends or does not answer for a while.

    A third time, if that was on the same machine: of a node that ends, the router learns replica by replica.
    """

    def __init__(self, calls: ServeCalls, n: int, version: int, method: str, arguments: tuple[Any, ...]) -> None:
        self._calls, self._n, self._request = calls, n, (version, method, arguments)
        self._started = time.monotonic()
        self._sent = 0
        self._responses: list[Any] = []
        self._send()

    def _send(self) -> None:
        self._sent += 1
        self._responses.append(self._calls.send(self._n, *self._request))

    def result(self) -> Any:
        """Raises what the shard raised, ShardUnavailable."""
        while True:
            response = self._responses.pop(0)
            try:
                return response.result(timeout_s=SLICE_SECONDS)
            except TimeoutError:
                self._responses.append(response)
                self._check_time()
                if self._sent == 1 and time.monotonic() - self._started > PATIENCE_SECONDS:
                    self._send()
            except Exception as error:
                if isinstance(error, self._calls.task_error):
                    raise _cause(error) from error
                if self._sent < MAX_SENT:
                    self._send()
                elif not self._responses:
                    raise self._calls.unavailable(self._n) from error

    def _check_time(self) -> None:
        """Raise ShardUnavailable where nobody will answer."""
        if not self._calls.is_up(self._n):
            raise self._calls.unavailable(self._n)
        if time.monotonic() - self._started > CALL_SECONDS:
            raise ShardUnavailable("a part of the collection takes too long to answer; try again in a moment")


def _cause(error: Any) -> Exception:
    """The error that a shard raised."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, LookalikeError):
        return cause
    return LookalikeError(f"a shard failed ({cause or error!r:.500}); see the logs of the Ray cluster")
