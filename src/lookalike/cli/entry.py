"""Where `lookalike` begins: Ctrl-C while the program is still being loaded ends it quietly, like later on."""

import os
import signal
import threading
from types import FrameType

INTERRUPTED = 130


def run() -> None:
    """Load the command line and run it."""
    if threading.current_thread() is not threading.main_thread():
        _run()
        return
    before = signal.signal(signal.SIGINT, _end)
    from lookalike.cli import main

    signal.signal(signal.SIGINT, before)
    try:
        main.run()
    finally:
        signal.signal(signal.SIGINT, _end)  # nor while it winds up


def _run() -> None:
    from lookalike.cli import main

    main.run()


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
