"""lookalike serve: the search page and the HTTP API."""

import re
from typing import Annotated

import typer

from lookalike.cli.command import interrupt_text
from lookalike.cli.options import CollectionOption, DeviceOption, check_cluster_address
from lookalike.cli.output import log
from lookalike.cli.usage_errors import checked_by
from lookalike.errors import BadQuery

MEGABYTE = 2**20


def _check_host_name(name: str) -> None:
    if not re.fullmatch(r"[\w.-]+|[\da-fA-F:.]+", name):
        raise BadQuery(f"{name!r} is no host name; give the name alone, such as photos.example.org")


def _check_address(address: str) -> None:
    from ipaddress import ip_address

    try:
        ip_address(address)
    except ValueError:
        raise BadQuery(f"{address!r} is no address; give the proxy's IP address, such as 127.0.0.1") from None


def _check_cluster(address: str) -> None:
    check_cluster_address(address)
    if address.startswith("ray://"):
        raise BadQuery(f"{address!r} is for programs outside of the cluster; start the server on one of its machines")


def serve(
    collection: CollectionOption = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; any but loopback requires --token-file.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=1, max=65535, help="Port to listen on.")] = 8000,
    workers: Annotated[
        int, typer.Option(metavar="N", min=1, max=64, help="Worker processes; each holds the vectors in memory.")
    ] = 1,
    device: DeviceOption = "auto",
    token_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="File with lines `read SECRET` and `write SECRET`; requests then need a token."
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            callback=checked_by(_check_host_name),
            help="Additional host name of the server; may be repeated.",
        ),
    ] = None,
    root_path: Annotated[
        str,
        typer.Option(metavar="PATH", help="Path prefix under which a proxy serves it, such as /photos; see deploy/."),
    ] = "",
    trust_proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            callback=checked_by(_check_address),
            help="Proxy whose X-Forwarded headers are trusted; may be repeated.",
        ),
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Reject all changes: adding, removing, labeling, indexing.")
    ] = False,
    show_paths: Annotated[
        bool, typer.Option("--show-paths", help="Include file paths of this machine, and where photos were taken.")
    ] = False,
    fetch_urls: Annotated[
        bool, typer.Option("--fetch-urls", help="Allow search by URL; public addresses only.")
    ] = False,
    allow_apply: Annotated[
        bool,
        typer.Option("--allow-apply", help="Allow the page to move accepted duplicates to the trash and restore them."),
    ] = False,
    rate: Annotated[
        float, typer.Option(metavar="N", min=0, help="Requests per second from one address; 0: no limit.")
    ] = 0,
    max_megabytes: Annotated[int, typer.Option(metavar="N", min=1, help="Maximum size of one upload.")] = 32,
    max_megapixels: Annotated[
        int, typer.Option(metavar="N", min=1, help="Maximum pixel count of one upload, as given in its header.")
    ] = 60,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            callback=checked_by(_check_cluster),
            help="Have a Ray cluster hold the vectors: auto (that of this machine), HOST:PORT, "
            "or local (a new one on this machine).",
        ),
    ] = None,
    shards: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=1024, help="Parts of the collection on the cluster; 1.")
    ] = None,
    replicas: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=1024, help="Processes that hold each part; 1.")
    ] = None,
) -> None:
    """Serve a search page for people and an API for programs, until Ctrl-C."""
    try:
        import fastapi  # noqa: F401
    except ImportError:
        raise BadQuery("serving needs additional packages; install them with: pip install 'lookalike[serve]'") from None
    if allow_apply and read_only:
        raise typer.BadParameter("--allow-apply moves files, but --read-only forbids changes; use only one of them")
    if ray is None and (shards or replicas):
        raise typer.BadParameter("--shards and --replicas are for a Ray cluster; add --ray auto")
    from lookalike.search import default_uri, open_collection
    from lookalike.server import Settings, serve

    with open_collection(collection, create=False, read_only=True) as photos:
        log(f"{photos.uri}: {len(photos):,} images")
        uri = photos.uri
    settings = Settings(
        uri=uri or default_uri(),
        host=host,
        port=port,
        workers=workers,
        tokens=token_file,
        hosts=tuple(allow_host or ()),
        root_path=root_path,
        trust_proxy=tuple(trust_proxy or ()),
        read_only=read_only,
        show_paths=show_paths,
        fetch_urls=fetch_urls,
        allow_apply=allow_apply,
        rate=rate,
        max_bytes=max_megabytes * MEGABYTE,
        max_pixels=max_megapixels * 1_000_000,
        ray=ray or "",
        shards=shards or 1,
        replicas=replicas or 1,
    )
    url_host = f"[{host}]" if ":" in host else host
    with interrupt_text("stopped"):
        serve(settings, opened=lambda: log(f"open http://{url_host}:{port} (Ctrl-C stops it)"))
    log("stopped")
