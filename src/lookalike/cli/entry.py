"""Where `lookalike` begins: Ctrl-C while the program is loaded ends it quietly, and codecs are not heard.

libjpeg and libpng tell of damage on the standard error stream, past Python, about files that are read nevertheless or
told of with a reason. What we say goes to the stream as it was; `LOOKALIKE_NOISE=1` lets theirs through.
"""

import io
import os
import signal
import sys
import threading
from types import FrameType

INTERRUPTED = 130
NOISE = "LOOKALIKE_NOISE"


def run() -> None:
    """Load the command line and run it."""
    listens = threading.current_thread() is threading.main_thread()  # only there signals can be asked for
    before = signal.signal(signal.SIGINT, _end) if listens else None
    from lookalike.cli import main

    if not listens:
        main.run()
        return
    signal.signal(signal.SIGINT, before)
    # A server's workers inherit the stream, and log there.
    if sys.argv[1:2] != ["serve"] and not os.environ.get(NOISE):
        _hush_codecs()
    try:
        main.run()
    finally:
        signal.signal(signal.SIGINT, _end)  # nor while it winds up


def _hush_codecs() -> None:
    """Our own messages keep the stream; what is written past Python goes nowhere."""
    if sys.stderr is None:
        return
    try:
        ours = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
    except OSError:
        return
    sys.stderr.flush()
    # Without a buffer: what a full disk did not take must not be tried again at the end.
    raw = io.FileIO(ours, "w")
    sys.stderr = io.TextIOWrapper(raw, sys.stderr.encoding, "backslashreplace", write_through=True)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
