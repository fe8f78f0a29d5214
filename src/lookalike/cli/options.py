"""Options that several verbs share."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.usage_errors import checked_by
from lookalike.errors import nearest

if TYPE_CHECKING:
    from lookalike.image import Limits
    from lookalike.search import Collection
    from lookalike.tasks import TaskPool


def check_cluster_address(address: str) -> None:
    """Raise BadQuery for what is no address of a Ray cluster."""
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
        callback=checked_by(check_cluster_address),
        help="Have a Ray cluster do the work: auto (that of this machine), HOST:PORT, ray://HOST:10001, "
        "or local (a new one on this machine).",
    ),
]
MaxPixels = Annotated[int, typer.Option(metavar="N", min=1, help="Skip images with more pixels, by their header.")]
MaxBytes = Annotated[int, typer.Option(metavar="N", min=1, help="Skip larger files.")]


def _use_device(context: typer.Context, device: str) -> str:
    """Have every model of this command and of its child processes opened on the device; undone when the verb ends."""
    from lookalike.embed.devices import DEVICE_VARIABLE, DEVICES

    if device not in DEVICES:
        raise typer.BadParameter(f"{device!r} is no device; {nearest(device, DEVICES)}", param_hint="--device")
    before = os.environ.get(DEVICE_VARIABLE)
    os.environ[DEVICE_VARIABLE] = device
    context.call_on_close(lambda: _restore(DEVICE_VARIABLE, before))
    return device


def _restore(variable: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = value


_DEVICE: dict[str, Any] = {"metavar": "NAME", "envvar": "LOOKALIKE_DEVICE", "callback": _use_device}
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        help="What runs the model: cpu, cuda, tensorrt, rocm, directml, coreml, openvino, or auto: a GPU or the CPU.",
        **_DEVICE,
    ),
]

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
