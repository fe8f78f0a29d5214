"""The entry point of `lookalike`: handles Ctrl-C while modules load, and silences codecs.

libjpeg and libpng write warnings about damaged files directly to file descriptor 2, although such files are read anyway
or reported with a reason. Our own messages go to a copy of the original stream; `LOOKALIKE_NOISE=1` shows theirs too.
"""

import io
import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType

INTERRUPTED = 130
NOISE = "LOOKALIKE_NOISE"


def run() -> None:
    """Load the command line and run it."""
    in_main_thread = threading.current_thread() is threading.main_thread()  # only there handlers can be set
    before = signal.signal(signal.SIGINT, _exit_interrupted) if in_main_thread else None
    from lookalike.cli import main

    if not in_main_thread:
        main.run()
        return
    signal.signal(signal.SIGINT, before)
    # The worker processes of a server inherit the stream and log to it.
    if sys.argv[1:2] != ["serve"] and not os.environ.get(NOISE):
        _silence_codecs()
    try:
        main.run()
    except KeyboardInterrupt:  # before or after the command itself, which says what was saved
        _exit_interrupted(signal.SIGINT, None)
    finally:
        signal.signal(signal.SIGINT, _exit_silently)  # no traceback during shutdown either


def _silence_codecs() -> None:
    """Redirect file descriptor 2 to the null device and sys.stderr to a copy of the original stream."""
    if sys.stderr is None:
        return
    try:
        original = os.dup(2)
        null = os.open(os.devnull, os.O_WRONLY)
    except OSError:
        return
    sys.stderr.flush()
    # Unbuffered: text that a full disk rejected must not be written again at exit.
    raw = io.FileIO(original, "w")
    sys.stderr = io.TextIOWrapper(raw, sys.stderr.encoding, "backslashreplace", write_through=True)
    os.dup2(null, 2)
    os.close(null)


def _exit_interrupted(number: int, frame: FrameType | None) -> None:
    with suppress(OSError, ValueError, AttributeError):  # no stream, or a closed one
        os.write(sys.stderr.fileno(), b"interrupted\n")
    _exit_silently(number, frame)


def _exit_silently(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
