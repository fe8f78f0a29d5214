"""lookalike mcp: the collection as tools for an assistant."""

from typing import Annotated

import typer

from lookalike.cli.options import CollectionOption, DeviceOption
from lookalike.cli.output import log
from lookalike.errors import BadQuery


def mcp(
    collection: CollectionOption = None,
    allow_write: Annotated[
        bool, typer.Option("--allow-write", help="Also offer a tool that sets labels; nothing else is ever changed.")
    ] = False,
    device: DeviceOption = "cpu",
) -> None:
    """Offer the collection to an assistant as tools of the Model Context Protocol, over stdin and stdout."""
    try:
        import mcp as _  # noqa: F401
    except ImportError:
        raise BadQuery("this needs additional packages; install them with: pip install 'lookalike[mcp]'") from None
    from lookalike.mcp.tools import make_server
    from lookalike.search import open_collection

    with open_collection(collection, create=False, read_only=not allow_write) as photos:
        log(f"{photos.uri}: {len(photos):,} images; waiting for an assistant on stdin")
        make_server(photos, allow_write=allow_write).run()
