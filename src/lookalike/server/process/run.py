"""Run the server: uvicorn with limits on slow clients, in one or more worker processes, with graceful shutdown."""

import json
import logging
import multiprocessing
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lookalike.server.process.settings import KEY, VARIABLE, ServerError, Settings, check
from lookalike.server.process.shards import running_shards
from lookalike.server.process.shared_dir import private_folder
from lookalike.server.process.startup import check_address, notify_when_listening

GRACE_SECONDS = 20
HEALTH_SECONDS = 30  # uvicorn's default of 5 repeatedly kills workers that are still loading on a busy machine
MAX_CONNECTIONS = 1000


def run(settings: Settings, opened: Callable[[], None] | None = None) -> None:
    """Serve until a signal stops the server; call `opened` once it accepts connections. Raises ServerError."""
    check(settings)
    check_address(settings)
    with graceful_sigterm(), private_folder() as folder, running_shards(settings) as own, graceful_sigterm():
        from dataclasses import replace

        settings = replace(own, folder=folder)
        (Path(folder) / KEY).write_bytes(secrets.token_bytes(32))  # before the workers start, else each creates its own
        os.environ[VARIABLE] = settings.to_json()
        try:
            with notify_when_listening(settings, opened):
                _serve(settings)
        finally:
            os.environ.pop(VARIABLE, None)


@contextmanager
def graceful_sigterm() -> Iterator[None]:
    """Let SIGTERM leave the block through SystemExit(0).

    uvicorn re-raises the signal after its own shutdown; the default action would leave the folder of uploads behind.
    """

    def on_sigterm(*_: object) -> None:
        raise SystemExit(0)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can handle signals
        return
    previous = signal.signal(signal.SIGTERM, on_sigterm)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _serve(settings: Settings) -> None:
    import uvicorn

    log_as_json()
    options: dict[str, Any] = {
        "factory": True,
        "host": settings.host,
        "port": settings.port,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "date_header": True,
        "http": "lookalike.server.process.header_timeout:HeaderTimeoutProtocol",
        "ws": "none",
        **proxy_options(settings),
        "lifespan": "on",
        "limit_concurrency": MAX_CONNECTIONS,
        "backlog": 512,
        "timeout_keep_alive": 15,
        "timeout_graceful_shutdown": GRACE_SECONDS,
        "timeout_worker_healthcheck": HEALTH_SECONDS,
    }
    try:
        uvicorn.run("lookalike.server.process.run:app_of_environment", workers=settings.workers, **options)
    except SystemExit as error:
        if error.code:
            raise ServerError(
                f"the server could not start on {settings.host}:{settings.port}; the log above gives the reason "
                "(if the port is in use, choose another --port)"
            ) from None


def proxy_options(settings: Settings) -> dict[str, Any]:
    """Return uvicorn's options for trusted proxies. Its default trusts every process on this machine."""
    return {"proxy_headers": bool(settings.trust_proxy), "forwarded_allow_ips": list(settings.trust_proxy)}


def app_of_environment() -> Any:
    """Return the application of one worker process (the uvicorn factory)."""
    from lookalike.server.app import make_app

    _limit_library_threads()
    exit_with_parent()
    log_as_json()
    return make_app(Settings.from_environment())


def exit_with_parent() -> None:
    """Stop gracefully when the supervisor process ends: an orphaned worker would hold the port forever."""
    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        return  # single-process mode

    def wait_for_supervisor() -> None:
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait_for_supervisor, name="supervisor", daemon=True).start()


def _limit_library_threads() -> None:
    """Limit libraries to one thread: the server runs one per core itself, and theirs cost a fifth of the speed."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    import faiss
    from threadpoolctl import threadpool_limits

    # NumPy was loaded before the variables were set and has already created its threads.
    assert faiss
    threadpool_limits(1)


class JsonLogFormatter(logging.Formatter):
    """Formats a record as one line of JSON. Requests are logged by route and status, never with their content."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def log_as_json() -> None:
    """Send the server's log to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLogFormatter())
    for name in ("lookalike.server", "lookalike.store", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.WARNING if name == "uvicorn.error" else logging.INFO)
