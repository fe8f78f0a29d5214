"""lookalike demo: index real photos, search them with edited copies, and draw the results."""

import random
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.output import ProgressLine, log
from lookalike.errors import LookalikeError, SourceError

if TYPE_CHECKING:
    from lookalike.search import Collection
    from lookalike.types import RGB

# Photographs only, without the test charts and microscope slides of these packages.
_BUNDLED = {
    "skimage": (
        "data",
        "astronaut.png brick.png camera.png chelsea.png coffee.png coins.png grass.png gravel.png horse.png "
        "hubble_deep_field.jpg ihc.png moon.png motorcycle_left.png page.png retina.jpg rocket.jpg",
    ),
    "sklearn": ("datasets/images", "china.jpg flower.jpg"),
}
# (edit, strength): common alterations of images on the web.
_EDITS = (
    ("jpeg", 0.8),
    ("crop", 0.5),
    ("flip", 0.5),
    ("caption", 0.8),
    ("screenshot", 0.5),
    ("gray", 1.0),
    ("blur", 0.4),
)
N_QUERIES = 24


def demo(
    photos: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]", help="Your photos; without it, photographs from scikit-image and scikit-learn."
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="The folder for all output.")] = Path(
        "demo"
    ),
) -> None:
    """Index photos, search them with edited copies of them, and draw the results."""
    from lookalike.search.new_collection import open_to_index

    folder = photos or _bundled(output / "photos")
    edited = output / "edited"
    with open_to_index(output / "collection", [folder]) as collection:
        _index(collection, folder)
        correct, total, shown = _search_copies(collection, edited)
        log(f"{correct} of {total} edited copies found their original in first place")
        figure = _draw(collection, shown, output / "found.png") if shown else None
    if not total:
        raise SourceError(f"{folder} has no image to search for; name another folder")
    _print_next_steps(output, shown, figure)


def _bundled(target: Path) -> Path:
    """Copy the photographs of scikit-image and scikit-learn into `target`, without importing either package."""
    target.mkdir(parents=True, exist_ok=True)
    for package, (folder, names) in _BUNDLED.items():
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise LookalikeError(
                f"the demo's photographs come with {package}, which is not installed; "
                "install it with: pip install 'lookalike[demo]', or name a folder of yours: lookalike demo FOLDER"
            )
        for name in names.split():
            source = Path(spec.submodule_search_locations[0]) / folder / name
            if source.is_file() and not (target / name).exists():
                (target / name).write_bytes(source.read_bytes())
    return target


def _index(collection: "Collection", folder: Path) -> None:
    from lookalike.indexing.pipeline import default_workers
    from lookalike.indexing.sync import SyncOptions

    log(f"$ lookalike index {folder} -c {collection.uri}")
    with ProgressLine("images") as progress:
        report = collection.sync(folder, options=SyncOptions(workers=default_workers(), progress=progress))
    new = report.added + report.changed
    rate = f", {new / report.seconds:.0f} images a second" if new else ""
    log(f"{len(collection):,} images indexed in {report.seconds:.1f} s{rate}")


def _search_copies(collection: "Collection", edited: Path) -> tuple[int, int, Path | None]:
    """Search with edited copies of a sample. Returns the correct and all searches, and a copy to show."""
    correct = total = 0
    shown: dict[str, Path] = {}
    for name, original, copy in _copies(collection, edited):
        hit = collection.search(copy, 1)[0]
        is_correct = _same_bytes(hit.id, original, collection)
        total, correct = total + 1, correct + is_correct
        if is_correct:
            shown.setdefault(name, copy)
    return correct, total, shown.get("screenshot") or next(iter(shown.values()), None)


def _copies(collection: "Collection", folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield (edit, the original's id, the file of the copy) for a sample of the collection."""
    from lookalike.image import get_edit

    for n, (image_id, picture) in enumerate(_sample(collection)):
        edit, strength = _EDITS[n % len(_EDITS)]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{n:02}-{edit}.jpg"
        _write(path, get_edit(edit).apply(picture, strength, n))
        yield edit, image_id, path


def _sample(collection: "Collection") -> Iterator[tuple[str, "RGB"]]:
    """Yield up to 24 readable images of the collection, the same ones each time."""
    from lookalike.errors import ImageError
    from lookalike.image import decode, read

    rows = [
        (str(i), str(path))
        for part in collection.store.scan(["id", "path"], where="not plain")
        for i, path in zip(part["id"], part["path"], strict=True)
    ]
    random.Random(0).shuffle(rows)  # noqa: S311 - a sample, no secret
    count = 0
    for image_id, path in sorted(rows[: 4 * N_QUERIES]):
        try:
            picture = decode(read(path, collection.limits), side=480, limits=collection.limits).image
        except ImageError:
            continue
        count += 1
        yield image_id, picture
        if count == N_QUERIES:
            return


def _write(path: Path, picture: "RGB") -> None:
    from lookalike.image import thumbnail

    path.write_bytes(thumbnail(picture, side=4096, quality=90))


def _same_bytes(hit: str, original: str, collection: "Collection") -> bool:
    """Whether the hit is the original, or another file with the same bytes."""
    a, b = (row.metadata["sha256"] if row else None for row in collection.get([hit, original], ["sha256"]))
    return hit == original or (a is not None and a == b)


def _draw(collection: "Collection", query: Path, target: Path) -> Path:
    from lookalike.plot import hits, save

    log(f"$ lookalike search {query} -c {collection.uri} -k 12 --plot {target}")
    return save(hits(collection.search(query, 12)), target)


def _print_next_steps(output: Path, shown: Path | None, figure: Path | None) -> None:
    if figure:
        log(f"figure of the results: {figure}")
    log("\ntry next:")
    log("  lookalike index ~/Pictures")
    log("  lookalike search IMAGE.jpg -k 12 --plot found.png")
    log(f"  lookalike search {shown or 'IMAGE.jpg'} -c {output / 'collection'} --json")
