"""lookalike index: bring a collection up to date with folders, files, manifests and archives."""

import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.entry import INTERRUPTED
from lookalike.cli.info import newer_model_advice
from lookalike.cli.options import (
    MAX_BYTES,
    MAX_PIXELS,
    CollectionOption,
    DeviceOption,
    JsonOption,
    MaxBytes,
    MaxPixels,
    RayOption,
    limits,
)
from lookalike.cli.output import ProgressLine, log, print_json
from lookalike.errors import BadQuery
from lookalike.text import counted

if TYPE_CHECKING:
    from lookalike.indexing.engine import Engine
    from lookalike.search import Collection
    from lookalike.types import AddReport

MAX_LISTED = 10
M_ARENA_MAX = -8  # of glibc's malloc.h


def index(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE]...",
            help="Folders, images, globs, .csv or .parquet manifests (of paths or URLs), .zip or .tar archives, s3://, "
            "hf://datasets/, or - for a list of files on stdin. None: the folders of earlier runs.",
        ),
    ] = None,
    collection: CollectionOption = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A model's name or folder, or hub:owner/name; for a new collection."),
    ] = None,
    add: Annotated[
        bool,
        typer.Option("--add", help="Keep the vectors of --model as well, beside the collection's own (remembered)."),
    ] = False,
    frames: Annotated[int | None, typer.Option(metavar="N", min=1, help="Frames per animation (remembered).")] = None,
    location: Annotated[
        bool | None,
        typer.Option("--location/--no-location", help="Keep where photos were taken (remembered; at first yes)."),
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Also remove images whose whole folder or drive is missing.")
    ] = False,
    parts: Annotated[
        bool,
        typer.Option("--parts", help="Also keep local features, to search by parts (remembered; 1.4 kB an image)."),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Threads, with --ray processes; one per core by default."),
    ] = None,
    ray: RayOption = None,
    gpus: Annotated[
        float, typer.Option("--gpus-per-worker", metavar="N", min=0, help="GPUs of each Ray process, such as 0.5.")
    ] = 0.0,
    max_pixels: MaxPixels = MAX_PIXELS,
    max_bytes: MaxBytes = MAX_BYTES,
    device: DeviceOption = "auto",
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Also read URLs of hosts that are not public, and of any port.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Add new images, re-embed changed ones, update moved ones, remove deleted ones. Run it again at any time."""
    from lookalike.embed.devices import DEVICE_VARIABLE
    from lookalike.indexing.roots import keep_location
    from lookalike.search.new_collection import open_to_index

    if add and model is None:
        raise typer.BadParameter("it adds the model that --model names; give both", param_hint="--add")
    _limit_malloc_arenas()
    if ray is not None:  # the device is that of the workers
        os.environ[DEVICE_VARIABLE] = "cpu"
    requested = _sources(sources)
    bounds = limits(max_pixels, max_bytes, allow_private=allow_private)
    with open_to_index(collection, requested or (), model=None if add else model, limits=bounds) as photos:
        if not requested and not photos.roots() and not (add and len(photos)):
            raise BadQuery(
                f"nothing to index: {photos.uri} has no folder yet; name one, such as: lookalike index ~/Pictures"
            )
        if add and model is not None:
            photos.added_models.add(model)
        engine = _engine(photos, ray, workers, gpus, device)
        if location is not None:
            keep_location(photos.store, keep=location)
        report = _sync(photos, requested, frames, prune, workers, engine)
        _join_clusters(photos)
        if parts or "local_features" in photos.store.settings:
            _update_local_features(photos)
        _report(photos, report, as_json=json)
        if engine is None and (report.added or report.changed):
            _log_device(photos)
    if report.interrupted:
        raise typer.Exit(INTERRUPTED)
    reports = (report, *report.by_model.values())
    if not any(one.added or one.changed or one.moved or one.removed or one.unchanged for one in reports):
        raise typer.Exit(1)


def _limit_malloc_arenas() -> None:
    """Have glibc share its memory between threads: each has up to 8 arenas a core, and each keeps what was freed in it.

    Two on two cores instead of sixteen: 446 MB at 50,000 files instead of 581, in the same time (docs/benchmarks.md).
    """
    import ctypes

    from lookalike.indexing.pipeline import default_workers

    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, max(2, default_workers() // 2))


def _log_device(photos: "Collection") -> None:
    """Log the device that embedded images, and how, unless it was the CPU."""
    embedder = photos.embedder
    if (device := getattr(embedder, "device", "cpu")) != "cpu":
        precision, images = getattr(embedder, "precision", ""), getattr(embedder, "batch", 1)
        log(f"embedded on {device}: {precision}, {images} images at a time")


def _sources(names: list[str] | None) -> list[str] | None:
    """The sources, with `-` replaced by the list on stdin."""
    from lookalike.image import read_list

    if not names:
        return None
    return [s for name in names for s in (read_list(sys.stdin.buffer) if name == "-" else [name])]


def _engine(
    photos: "Collection", address: str | None, workers: int | None, gpus: float, device: str
) -> "Engine | None":
    if address is None:
        if gpus:
            raise typer.BadParameter(
                "it is for the workers of a Ray cluster; add --ray auto", param_hint="--gpus-per-worker"
            )
        return None
    from lookalike.engine import RayEngine

    return RayEngine(photos.uri, address, workers, gpus=gpus, device=device)


def _sync(
    photos: "Collection", sources: list[str] | None, frames: int | None, prune: bool, workers: int | None,
    engine: "Engine | None",
) -> "AddReport":  # fmt: skip
    from lookalike.indexing.pipeline import default_workers
    from lookalike.indexing.sync import SyncOptions

    with ProgressLine("images") as progress, _stop_on_interrupt() as stop:
        workers = workers or default_workers()
        options = SyncOptions(prune=prune, workers=workers, engine=engine, progress=progress, stop=stop)
        return photos.sync(sources, frames=frames, options=options)


@contextmanager
def _stop_on_interrupt() -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C sets; the second raises KeyboardInterrupt."""
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
    """Add new images to the nearest cluster if the collection has clusters."""
    if "clusters" in photos.store.settings:
        from lookalike.cluster import join_new

        if joined := join_new(photos):
            log(
                f"{counted(joined, 'new image')} joined the nearest cluster; to check how well clusters fit: "
                f"lookalike cluster --status -c {photos.uri}"
            )


def _update_local_features(photos: "Collection") -> None:
    from lookalike.relate.local_search import update_local_features

    with ProgressLine("local features") as progress:
        report = update_local_features(photos, progress=progress)
    if report.added or report.without:
        missing = f"; {report.without:,} have no thumbnail to find them in" if report.without else ""
        log(f"local features of {report.added:,} images{missing}; use them with: lookalike search IMAGE --parts")


def _report(photos: "Collection", report: "AddReport", *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(report) | {"collection": photos.uri, "images": len(photos)})
    for failure in report.failed[:MAX_LISTED]:
        log(f"skipped {failure.path}: {failure.reason}")
    if len(report.failed) > MAX_LISTED:
        saved = len(photos) or photos.roots()
        every = f"lookalike info --failures -c {photos.uri}" if saved else "use --json"
        log(f"… and {len(report.failed) - MAX_LISTED:,} more; list all with: {every}")
    for root in report.missing_roots:
        log(
            f"{root} is missing or empty: its images stay indexed; connect the drive, "
            "or remove them with: lookalike index --prune"
        )
    _report_skipped(report)
    if report.renamed_columns:
        names = ", ".join(f"{name} as {other}" for name, other in report.renamed_columns.items())
        log(f"columns stored under another name, since Lookalike fills those of that name itself: {names}")
    counts = ("added", "changed", "moved", "removed", "unchanged")
    summary = ", ".join(f"{getattr(report, name):,} {name}" for name in counts if getattr(report, name))
    failed = f", {len(report.failed):,} skipped" if report.failed else ""
    log(
        f"{summary or 'no images found'}{failed} in {report.seconds:.1f} s; "
        f"{photos.uri} has {counted(len(photos), 'image')}"
    )
    for name, own in report.by_model.items():
        _report_model(photos, name, own)
    if advice := newer_model_advice(photos.card.name, [root.path for root in photos.roots()]):
        log(advice)
    if report.plain:
        log(f"{counted(report.plain, 'image')} too plain to compare (a single color), indexed and marked as plain")
    if report.interrupted:
        log(
            "interrupted; everything done so far is kept. "
            f"Continue with the same command, or: lookalike index -c {photos.uri}"
        )


def _report_model(photos: "Collection", name: str, report: "AddReport") -> None:
    """Log what was done for an added model, and how many images have no vector of it."""
    if [failure.path for failure in report.failed] == [name]:
        log(f"{name}: {report.failed[0].reason}; remove it with: lookalike remove --model {name} -c {photos.uri}")
        return
    for failure in report.failed[:MAX_LISTED]:
        log(f"{name}: skipped {failure.path}: {failure.reason}")
    embedded, missing = report.added + report.changed, len(photos) - len(photos.by_model(name))
    without = f"; {counted(missing, 'image')} without a vector of it" if missing > 0 else ""
    if embedded or missing > 0:
        log(f"{name}: {counted(embedded, 'image')} embedded in {report.seconds:.1f} s{without}")


def _report_skipped(report: "AddReport") -> None:
    """Log the files and photo libraries that were skipped, and how to index them."""
    if report.skipped_raw:
        words = "file was skipped: export it" if report.skipped_raw == 1 else "files were skipped: export them"
        log(f"{report.skipped_raw:,} camera raw {words} as JPEG first")
    for library in report.skipped_libraries[:MAX_LISTED]:
        log(
            f"{library}, a photo library, was skipped; index the originals in it with: "
            f"lookalike index {shlex.quote(library)}"
        )
    if len(report.skipped_libraries) > MAX_LISTED:
        log(f"… and {len(report.skipped_libraries) - MAX_LISTED:,} more photo libraries")
