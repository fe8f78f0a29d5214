"""Options that several verbs share, and what they mean."""

from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from lookalike.image import Limits
    from lookalike.search import Collection

CollectionOption = Annotated[
    Optional[str],  # noqa: UP045 - typer reads it at run time on Python 3.11
    typer.Option(
        "--collection",
        "-c",
        metavar="PATH_OR_URI",
        help="The collection: a folder or an object store. "
        "Default: $LOOKALIKE_COLLECTION, else one in your data folder.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]
MaxPixels = Annotated[int, typer.Option(metavar="N", help="Skip larger pictures; told by the header, before decoding.")]
MaxBytes = Annotated[int, typer.Option(metavar="N", help="Skip larger files.")]

MAX_PIXELS = 200_000_000
MAX_BYTES = 256 * 2**20


def limits(max_pixels: int, max_bytes: int) -> "Limits":
    """The limits that the two options ask for."""
    from lookalike.image import Limits

    return Limits(max_pixels=max_pixels, max_bytes=max_bytes)


def open_to_read(uri: str | None) -> "Collection":
    """The collection named, or the default one; it must exist."""
    from lookalike.search import open_collection

    return open_collection(uri, create=False, read_only=True)
