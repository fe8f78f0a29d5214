"""The `lookalike` app: its verbs, and errors as one sentence on stderr with exit status 1."""

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
    doctor,
    duplicates,
    embed,
    evaluate,
    find_in,
    index,
    info,
    label,
    map,
    mcp,
    models,
    optimize,
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
from lookalike.cli.command import RootGroup, VerbCommand
from lookalike.cli.output import discard_output, log, shown_messages
from lookalike.errors import LookalikeError

# Importing rich costs 0.1 s at every --help.
app = typer.Typer(
    name="lookalike",
    cls=RootGroup,
    help="Find images that look alike: index a folder, search it with an image.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _version(show: bool) -> None:
    if show:
        from lookalike._version import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Find images that look alike: index a folder, search it with an image."""


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
    optimize,
    embed,
    calibrate,
    split,
    evaluate,
    benchmark,
    serve,
    mcp,
    doctor,
    demo,
):
    app.command(verb.__name__.rsplit(".", 1)[-1].replace("_", "-"), cls=VerbCommand)(
        getattr(verb, verb.__name__.rsplit(".", 1)[-1])
    )

app.add_typer(models.app, name="models")
app.add_typer(train.app, name="train")


def run() -> None:
    """Run the app. Exit status: 0 done, 1 failed, 2 usage error, 130 interrupted."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # A file name that the terminal cannot show must not raise.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        try:
            with shown_messages("lookalike.store"):
                app()
        finally:
            sys.stdout.flush()
    except LookalikeError as error:
        log(f"error: {error.for_command_line()}")
        sys.exit(1)
    except MemoryError:
        log("error: there is not enough memory for this; close other programs and try again")
        sys.exit(1)
    except BrokenPipeError:
        discard_output()
        sys.exit(0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EIO, errno.EDQUOT) or error.filename is not None:
            raise
        discard_output()
        with suppress(OSError):
            log(f"error: the output cannot be written: {error.strerror}")
        sys.exit(1)


def _open_closed_streams() -> None:
    """Connect closed standard streams to the null device: else the next opened file would get their descriptor."""
    for name, flags, mode in (("stdin", os.O_RDONLY, "r"), ("stdout", os.O_WRONLY, "w"), ("stderr", os.O_WRONLY, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode))
