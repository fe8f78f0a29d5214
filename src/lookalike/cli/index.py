"""lookalike index: bring a collection up to date with folders, files, manifests and archives."""

import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from lookalike.cli.options import MAX_BYTES, MAX_PIXELS, CollectionOption, JsonOption, MaxBytes, MaxPixels, limits
from lookalike.cli.output import ProgressLine, log, print_json
from lookalike.errors import BadQuery

if TYPE_CHECKING:
    from lookalike.search import Collection
    from lookalike.types import AddReport

_TOLD = 10


def index(
    sources: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(
            metavar="[SOURCE]...",
            help="Folders, pictures, globs, .csv or .parquet manifests, .zip or .tar archives, "
            "or - for a list of files on stdin. None: what was indexed before.",
        ),
    ] = None,
    collection: CollectionOption = None,
    model: Annotated[
        str | None, typer.Option(help="A model's name or folder, or hub:owner/name; for a new collection.")
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="How many frames of each animation (remembered).")] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Also drop pictures whose whole folder or drive is missing.")
    ] = False,
    workers: Annotated[Optional[int], typer.Option(min=1, help="Threads; one a core by default.")] = None,  # noqa: UP045
    max_pixels: MaxPixels = MAX_PIXELS,
    max_bytes: MaxBytes = MAX_BYTES,
    json: JsonOption = False,
) -> None:
    """Add new pictures, re-embed changed ones, note moved ones, drop deleted ones. Run it again at any time."""
    from lookalike.search import open_collection

    named = _sources(sources)
    with open_collection(collection, model=model, limits=limits(max_pixels, max_bytes)) as photos:
        if not named and not photos.roots():
            raise BadQuery(
                f"nothing to index: {photos.uri} has no folders yet; name one, such as: lookalike index ~/Pictures"
            )
        report = _sync(photos, named, frames, prune, workers)
        _join_clusters(photos)
        _tell(photos, report, as_json=json)
        if report.interrupted:
            raise typer.Exit(130)
        if not any((report.added, report.changed, report.moved, report.removed, report.unchanged)):
            raise typer.Exit(1)


def _sources(named: list[str] | None) -> list[str] | None:
    """The sources typed, with `-` replaced by the list that stdin holds."""
    from lookalike.image import read_list

    if not named:
        return None
    return [s for name in named for s in (read_list(sys.stdin.buffer) if name == "-" else [name])]


def _sync(
    photos: "Collection", sources: list[str] | None, frames: int | None, prune: bool, workers: int | None
) -> "AddReport":
    from lookalike.indexing.pipeline import default_workers
    from lookalike.indexing.sync import SyncOptions

    with ProgressLine("pictures") as progress, _stop_on_interrupt() as stop:
        options = SyncOptions(prune=prune, workers=workers or default_workers(), progress=progress, stop=stop)
        return photos.sync(sources, frames=frames, options=options)


@contextmanager
def _stop_on_interrupt() -> Iterator[threading.Event]:
    """The first Ctrl-C asks for an orderly end; the second ends at once."""
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        log("stopping after the current batch (Ctrl-C again to stop at once)")
        stop.set()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _join_clusters(photos: "Collection") -> None:
    """New pictures join the nearest cluster, where there are clusters."""
    if "clusters" in photos.store.settings:
        from lookalike.cluster import join_new

        if joined := join_new(photos):
            log(f"{joined:,} joined the nearest cluster; how well they fit: lookalike cluster --status -c {photos.uri}")


def _tell(photos: "Collection", report: "AddReport", *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(report) | {"collection": photos.uri, "images": len(photos)})
    for failure in report.failed[:_TOLD]:
        log(f"skipped {failure.path}: {failure.reason}")
    if len(report.failed) > _TOLD:
        log(f"… and {len(report.failed) - _TOLD:,} more; all of them: lookalike info --failures -c {photos.uri}")
    for root in report.missing_roots:
        log(
            f"{root} is missing or empty: its pictures are kept; plug the drive in, "
            "or drop them with: lookalike index --prune"
        )
    _report_skipped(report)
    counts = ("added", "changed", "moved", "removed", "unchanged")
    told = ", ".join(f"{getattr(report, name):,} {name}" for name in counts if getattr(report, name))
    failed = f", {len(report.failed):,} skipped" if report.failed else ""
    log(f"{told or 'no pictures found'}{failed} in {report.seconds:.1f} s; {photos.uri} holds {len(photos):,}")
    if report.plain:
        log(f"{report.plain:,} too plain to compare (one colour): kept, and flagged as plain")
    if report.interrupted:
        log(f"interrupted; all that was done is kept. Go on with the same command, or: lookalike index -c {photos.uri}")


def _report_skipped(report: "AddReport") -> None:
    """What the folders hold that is not read: in one line each, and how to read it."""
    if report.skipped_raw:
        words = "file was passed by: export it" if report.skipped_raw == 1 else "files were passed by: export them"
        log(f"{report.skipped_raw:,} camera raw {words} as JPEG first")
    for library in report.skipped_libraries[:_TOLD]:
        log(
            f"{library}, a photo library, was passed by; index the originals in it with: "
            f"lookalike index {shlex.quote(library)}"
        )
    if len(report.skipped_libraries) > _TOLD:
        log(f"… and {len(report.skipped_libraries) - _TOLD:,} more photo libraries")
