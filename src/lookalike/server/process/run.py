"""Running it: uvicorn with limits of its own on slow clients, one process or several, stopped in good order."""

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
from lookalike.server.process.shared_dir import private_folder
from lookalike.server.process.startup import check_address, told_when_open

GRACE_SECONDS = 20
HEALTH_SECONDS = 30  # uvicorn's own 5 end a worker of a busy machine while it still loads, again and again
CONNECTIONS = 1000


def run(settings: Settings, opened: Callable[[], None] | None = None) -> None:
    """Serve until told to stop; `opened` is called once it answers. Raises ServerError."""
    check(settings)
    check_address(settings)
    with _stopped_in_order(), private_folder() as folder:
        from dataclasses import replace

        told = replace(settings, folder=folder)
        (Path(folder) / KEY).write_bytes(secrets.token_bytes(32))  # before the workers, who would each make their own
        os.environ[VARIABLE] = told.to_json()
        try:
            with told_when_open(settings, opened):
                _serve(told)
        finally:
            os.environ.pop(VARIABLE, None)


@contextmanager
def _stopped_in_order() -> Iterator[None]:
    """SIGTERM ends the block as if it were done. uvicorn raises the signal anew after it has stopped, and its usual
    effect would leave the folder with what strangers sent."""

    def end(*_: object) -> None:
        raise SystemExit(0)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is told of signals
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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
        "http": "lookalike.server.process.header_timeout:Patient",
        "ws": "none",
        **proxy_options(settings),
        "lifespan": "on",
        "limit_concurrency": CONNECTIONS,
        "backlog": 512,
        "timeout_keep_alive": 15,
        "timeout_graceful_shutdown": GRACE_SECONDS,
        "timeout_worker_healthcheck": HEALTH_SECONDS,
    }
    try:
        uvicorn.run("lookalike.server.process.run:app_of_environment", workers=settings.workers, **options)
    except SystemExit as end:
        if end.code:
            raise ServerError(
                f"the server could not start on {settings.host}:{settings.port}; the log above says why "
                "(is another server there already? choose another --port)"
            ) from None


def proxy_options(settings: Settings) -> dict[str, Any]:
    """uvicorn's: whose X-Forwarded headers are believed. By default it believes everyone on this machine."""
    return {"proxy_headers": bool(settings.trust_proxy), "forwarded_allow_ips": list(settings.trust_proxy)}


def app_of_environment() -> Any:
    """What each worker makes."""
    from lookalike.server.app import make_app

    _one_thread_each()
    _end_with_the_supervisor()
    log_as_json()
    return make_app(Settings.from_environment())


def _end_with_the_supervisor() -> None:
    """Stop in order when the process that began this worker is gone, however it went: a worker that nobody watches
    would hold the port for ever."""
    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        return  # the only process

    def end() -> None:
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end, name="supervisor", daemon=True).start()


def _one_thread_each() -> None:
    """Our threads are one a core already; those of the libraries would only be in their way (a fifth of the speed)."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    import faiss
    from threadpoolctl import threadpool_limits

    # NumPy was loaded before the variables were set, and has its threads already.
    assert faiss
    threadpool_limits(1)


class _Lines(logging.Formatter):
    """One JSON object a line: when, how grave, what; of requests their route and status, never what they carried."""

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "told", {}),
        }
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)


def log_as_json() -> None:
    """Send the server's log to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    for name in ("lookalike.server", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO if name == "lookalike.server" else logging.WARNING)
