"""Options that several verbs share."""

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.errors import nearest

if TYPE_CHECKING:
    from lookalike.image import Limits
    from lookalike.search import Collection

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


def open_to_read(uri: str | None) -> "Collection":
    """Open an existing collection, by default the default one, for reading."""
    from lookalike.search import open_collection

    return open_collection(uri, create=False, read_only=True)
