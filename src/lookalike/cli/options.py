"""Options that several verbs share."""

from typing import TYPE_CHECKING, Annotated

import typer

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
