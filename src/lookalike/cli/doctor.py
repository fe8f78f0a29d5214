"""lookalike doctor: whether this machine, this installation and a collection are in order, and the way out if not."""

import os
import platform
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING

import typer

from lookalike.cli.options import CollectionOption, JsonOption
from lookalike.cli.output import print_json, print_row
from lookalike.errors import LookalikeError, NoCollection
from lookalike.text import bytes_text, counted, percent

if TYPE_CHECKING:
    from lookalike.search import Collection

OK, ADVICE, WRONG = "ok", "advice", "wrong"
MIN_PYTHON = (3, 11)
MIN_FREE_BYTES = 1 << 30
MIN_MEMORY = 1 << 30
MAX_FILES = 1000  # of Lance in a collection; searches open them all
MIN_SPEED = 3.0  # images a second on one core; a laptop of ten years embeds more
SPEED_SECONDS = 1.0
SEARCHES = 4  # of which the quickest counts: the second reads the vectors into memory
# Packages that are always installed, by the module that they provide.
PACKAGES = {
    "numpy": "numpy", "opencv-python-headless": "cv2", "pillow": "PIL", "pillow-heif": "pillow_heif",
    "tifffile": "tifffile", "imagecodecs": "imagecodecs", "onnxruntime": "onnxruntime", "pylance": "lance",
    "pyarrow": "pyarrow", "faiss-cpu": "faiss", "matplotlib": "matplotlib",
}  # fmt: skip
EXTRAS = {
    "text": ("tokenizers", "search by words"), "hub": ("huggingface_hub", "models and data sets of a hub"),
    "serve": ("fastapi", "the page and the API"), "map": ("openTSNE", "maps"), "train": ("torch", "training"),
    "remote": ("obstore", "images in buckets"), "ray": ("ray", "many machines"), "mcp": ("mcp", "assistants"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `state`: "ok", "advice" or "wrong"; `way_out`: what to do, "" for nothing."""

    check: str
    state: str
    says: str
    way_out: str = ""


Findings = Iterator[Finding]


def doctor(
    collection: CollectionOption = None,
    json: JsonOption = False,
) -> None:
    """Check this machine, this installation and a collection; each line that is not in order says the way out."""
    wrong = False
    for finding in findings(collection):
        wrong |= finding.state == WRONG
        if json:
            print_json(asdict(finding))
            continue
        mark = {OK: "ok", ADVICE: "note", WRONG: "WRONG"}[finding.state]
        print_row(f"{mark:<6}{finding.check:<12}{finding.says}" + (f"; {finding.way_out}" if finding.way_out else ""))
    if wrong:
        raise typer.Exit(1)


def findings(collection: str | None) -> Findings:
    """Yield the findings of all checks. A check that fails is a finding, and the others go on."""
    checks: dict[str, Callable[[], Findings]] = {
        "python": _python, "packages": _packages, "extras": _extras, "memory": _memory, "decoders": _decoders,
        "model": _model, "devices": _devices, "collection": lambda: _collection(collection),
    }  # fmt: skip
    for name, check in checks.items():
        yield from _guarded(name, check)


def _guarded(name: str, check: Callable[[], Findings]) -> Findings:
    try:
        yield from check()
    except LookalikeError as error:
        yield Finding(name, WRONG, error.for_command_line())
    except Exception as error:  # what a doctor stumbles over is what is to be known
        yield Finding(name, WRONG, f"{type(error).__name__}: {error}"[:300], "report this with the line above")


def _python() -> Findings:
    from lookalike._version import __version__

    says = f"lookalike {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    if sys.version_info < MIN_PYTHON:
        yield Finding("python", WRONG, says, f"install Python {'.'.join(map(str, MIN_PYTHON))} or later")
    else:
        yield Finding("python", OK, says)


def _packages() -> Findings:
    versions, missing = [], []
    for package, module in PACKAGES.items():
        if find_spec(module) is None:
            missing.append(package)
            continue
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:  # another package provides the module, such as onnxruntime-gpu
            versions.append(f"{module} of another package")
    if missing:
        yield Finding("packages", WRONG, f"missing: {', '.join(missing)}", "pip install --force-reinstall lookalike")
    yield Finding("packages", OK, ", ".join(versions))


def _extras() -> Findings:
    missing = [f"{name} ({what})" for name, (module, what) in EXTRAS.items() if find_spec(module) is None]
    if missing:
        yield Finding("extras", OK, f"not installed: {', '.join(missing)}", "pip install 'lookalike[NAME]'")
    else:
        yield Finding("extras", OK, "all are installed")


def _memory() -> Findings:
    from lookalike.indexing.pipeline import default_workers
    from lookalike.store.ivf.available_memory import UNKNOWN, available_memory

    cores, free = default_workers(), available_memory()
    memory = "" if free >= UNKNOWN else f", {bytes_text(free)} of memory free"
    says = f"{counted(cores, 'core')}{memory}"
    few = "close other programs: indexing takes 300 to 700 MB, training more"
    yield Finding("memory", ADVICE if free < MIN_MEMORY else OK, says, few if free < MIN_MEMORY else "")
    yield _space("temporary", tempfile.gettempdir())


def _space(check: str, folder: str) -> Finding:
    free = shutil.disk_usage(folder).free
    says = f"{bytes_text(free)} free in {folder}"
    return Finding(check, ADVICE if free < MIN_FREE_BYTES else OK, says, "free some" if free < MIN_FREE_BYTES else "")


def _decoders() -> Findings:
    import io

    import numpy as np
    from PIL import Image

    from lookalike.image import GuardedDecoder, Limits

    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    read = []
    with GuardedDecoder(Limits()) as decoder:
        for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF"):  # the first three in this process
            data = io.BytesIO()
            Image.fromarray(pixels).save(data, kind)
            decoder.decode(data.getvalue(), side=None)
            read.append(kind)
    yield Finding("decoders", OK, f"read {', '.join(read)}, unsafe ones in a process of their own")


def _model() -> Findings:
    from lookalike.embed import DEFAULT_MODEL, get_embedder
    from lookalike.embed.model_list import measure_speed

    speed = measure_speed(get_embedder(DEFAULT_MODEL), seconds=SPEED_SECONDS)
    slow = "other programs may be using the processor" if speed < MIN_SPEED else ""
    says = f"{DEFAULT_MODEL} embeds {speed:,.1f} images a second on one core"
    yield Finding("model", ADVICE if slow else OK, says, slow)


def _devices() -> Findings:
    from lookalike.embed.devices import ACCELERATORS, provider_of

    there = [name for name, one in ACCELERATORS.items() if provider_of(one)]
    says = f"{', '.join(there)}, and the CPU" if there else "the CPU; no accelerator of ONNX Runtime is installed"
    yield Finding("devices", OK, says)


def _collection(uri: str | None) -> Findings:
    from lookalike.search import open_collection

    try:
        photos = open_collection(uri, create=False, read_only=True)
    except NoCollection as error:
        state = OK if uri is None else WRONG
        says = "none yet" if uri is None else f"{error.location}: {error.reason}"
        yield Finding("collection", state, says, _begin(uri))
        return
    with photos:
        for part in (_contents, _search, _files, _added_models):
            yield from _guarded("collection", partial(part, photos))


def _begin(uri: str | None) -> str:
    return "begin with: lookalike index FOLDER" + (f" -c {shlex.quote(uri)}" if uri else "")


def _contents(photos: "Collection") -> Findings:
    from lookalike.image.sources.files import is_present

    failed, images = len(photos.failures()), len(photos)
    yield Finding("collection", OK, f"{photos.uri}: {counted(images, 'image')} by {photos.card.name}")
    if failed:
        way_out = f"see why: lookalike info --failures -c {shlex.quote(photos.uri)}"
        yield Finding("files", ADVICE, f"{counted(failed, 'file')} could not be used", way_out)
    for root in photos.roots():
        if not is_present(root.path):
            forget = f"lookalike index --prune -c {shlex.quote(photos.uri)}"
            way_out = f"connect its drive, or forget its images with: {forget}"
            yield Finding("folder", ADVICE, f"{root.path} is missing", way_out)


def _search(photos: "Collection") -> Findings:
    _ = photos.embedder  # the model of the collection opens
    if len(photos) > 1:
        image_id = str(next(iter(photos.store.scan(["id"])))["id"][0])
        spent = min(_seconds(lambda: photos.search_by_id(image_id, 12)) for _ in range(SEARCHES))
        hits = photos.search_by_id(image_id, 12)
        yield Finding("search", OK, f"{counted(len(hits), 'hit')} in {spent * 1000:,.1f} ms, in a running program")


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _files(photos: "Collection") -> Findings:
    from lookalike.store import index_facts
    from lookalike.store.lance.store import INDEX_ROWS, LanceStore

    optimize = f"lookalike optimize -c {shlex.quote(photos.uri)}"
    facts, images = index_facts(photos.store), len(photos)
    if facts is None and images >= INDEX_ROWS:
        yield Finding("index", ADVICE, "none, so that a search compares all images", f"build it: {optimize}")
    elif facts is not None and facts.indexed < facts.images:
        share = percent(facts.indexed / max(facts.images, 1), 0)
        yield Finding("index", ADVICE, f"has {share} of the images", f"add the others: {optimize}")
    elif facts is not None:
        yield Finding("index", OK, f"{counted(facts.images, 'image')}, {bytes_text(facts.bytes)}")
    if isinstance(photos.store, LanceStore):
        files = len(photos.store.dataset.get_fragments())
        if files > MAX_FILES:
            yield Finding("data", ADVICE, f"{files:,} small files", f"merge them: {optimize}")
    if os.path.isdir(photos.uri):
        yield _space("disk", photos.uri)
        if not os.access(photos.uri, os.W_OK):
            yield Finding("disk", ADVICE, f"{photos.uri} cannot be written by this user", "only searches work")


def _added_models(photos: "Collection") -> Findings:
    for name in photos.added_models.names():
        remove = f"remove it: lookalike remove --model {name} -c {shlex.quote(photos.uri)}"
        try:
            view = photos.by_model(name)
            _ = view.embedder
        except LookalikeError as error:
            yield Finding("model", WRONG, f"{name}: {error.without_location()}", remove)
            continue
        missing = len(photos) - len(view)
        if missing > 0:
            says = f"{name}: {counted(missing, 'image')} without a vector of it"
            yield Finding("model", ADVICE, says, f"embed them: lookalike index -c {shlex.quote(photos.uri)}")
        else:
            yield Finding("model", OK, f"{name}: all images have a vector of it")
