"""Options that several verbs share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.usage_errors import checked_by

if TYPE_CHECKING:
    from lookalike.image import Limits
    from lookalike.search import Collection
    from lookalike.tasks import TaskPool


def _check_address(address: str) -> None:
    from lookalike.engine.cluster import check_address

    check_address(address)


CollectionOption = Annotated[
    str | None,
    typer.Option(
        "--collection",
        "-c",
        metavar="PATH_OR_URI",
        help="The collection: a folder or an object store. "
        "Default: $LOOKALIKE_COLLECTION, else one in your data folder.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
RayOption = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        callback=checked_by(_check_address),
        help="Have a Ray cluster do the work: auto (that of this machine), HOST:PORT, ray://HOST:10001, "
        "or local (a new one on this machine).",
    ),
]
MaxPixels = Annotated[int, typer.Option(metavar="N", min=1, help="Skip images with more pixels, by their header.")]
MaxBytes = Annotated[int, typer.Option(metavar="N", min=1, help="Skip larger files.")]

MAX_PIXELS = 200_000_000
MAX_BYTES = 256 * 2**20


def limits(max_pixels: int, max_bytes: int, *, allow_private: bool = False) -> "Limits":
    """The limits of the options."""
    from lookalike.image import Limits

    return Limits(max_pixels=max_pixels, max_bytes=max_bytes, allow_private=allow_private)


@contextmanager
def task_pool(address: str | None) -> "Iterator[TaskPool | None]":
    """Yield the tasks of a cluster at the address of `--ray`; None without it."""
    if address is None:
        yield None
        return
    from lookalike.engine import RayTasks

    with RayTasks(address) as tasks:
        yield tasks


def open_to_read(uri: str | None) -> "Collection":
    """Open an existing collection, by default the default one, for reading."""
    from lookalike.search import open_collection

    return open_collection(uri, create=False, read_only=True)
