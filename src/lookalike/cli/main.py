"""`lookalike`: the verbs, and what an error becomes at the very end (exit 1, one sentence on stderr)."""

import errno
import os
import sys
from contextlib import suppress

import typer

from lookalike.cli import (
    benchmark,
    calibrate,
    cluster,
    compare,
    demo,
    duplicates,
    embed,
    evaluate,
    find_in,
    index,
    info,
    label,
    map,
    models,
    outliers,
    remove,
    representatives,
    search,
    serve,
    split,
    train,
    undo,
    verify,
    why,
)
from lookalike.cli.output import log
from lookalike.errors import LookalikeError

# rich costs 0.1 s at every --help; plain text is as clear.
app = typer.Typer(
    name="lookalike",
    help="Find images that look alike: index a folder, search it with a picture.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from lookalike._version import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Find images that look alike: index a folder, search it with a picture."""


for verb in (
    index,
    search,
    compare,
    find_in,
    verify,
    duplicates,
    undo,
    cluster,
    label,
    outliers,
    representatives,
    map,
    info,
    why,
    remove,
    embed,
    calibrate,
    split,
    evaluate,
    benchmark,
    models,
    serve,
    demo,
):
    app.command(verb.__name__.rsplit(".", 1)[-1].replace("_", "-"))(getattr(verb, verb.__name__.rsplit(".", 1)[-1]))

app.add_typer(train.app, name="train")


def run() -> None:
    """The entry point: exit 0 done, 1 failed, 2 mistyped, 130 interrupted."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # A file name that the terminal cannot show is no reason to fail.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except LookalikeError as error:
        log(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        log("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output (head, less) has seen enough. Python would complain once more while closing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EIO, errno.EDQUOT) or error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        with suppress(OSError):
            log(f"error: the output cannot be written: {error.strerror}")
        sys.exit(1)


def _open_closed_streams() -> None:
    """Standard streams that were closed lead nowhere: else the next file that is opened would take their place."""
    for name, flags, mode in (("stdin", os.O_RDONLY, "r"), ("stdout", os.O_WRONLY, "w"), ("stderr", os.O_WRONLY, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode))
