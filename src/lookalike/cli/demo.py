"""lookalike demo: the main job on real photos, from nothing to a figure of what was found."""

import random
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from lookalike.cli.output import ProgressLine, log
from lookalike.errors import LookalikeError, SourceError

if TYPE_CHECKING:
    from lookalike.search import Collection
    from lookalike.types import RGB

# Photographs, and not the test charts and microscope slides that lie beside them.
_BUNDLED = {
    "skimage": (
        "data",
        "astronaut.png brick.png camera.png chelsea.png coffee.png coins.png grass.png gravel.png horse.png "
        "hubble_deep_field.jpg ihc.png moon.png motorcycle_left.png page.png retina.jpg rocket.jpg",
    ),
    "sklearn": ("datasets/images", "china.jpg flower.jpg"),
}
# (edit, strength): what happens to pictures on their way through the world.
_EDITS = (
    ("jpeg", 0.8),
    ("crop", 0.5),
    ("flip", 0.5),
    ("caption", 0.8),
    ("screenshot", 0.5),
    ("grey", 1.0),
    ("blur", 0.4),
)
_ASKED = 24


def demo(
    photos: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(
            metavar="[FOLDER]", help="Your photos; without it, photographs from scikit-image and scikit-learn."
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where everything goes.")] = Path(
        "demo"
    ),
) -> None:
    """Index photos, search them with edited copies made on the spot, and draw what was found."""
    from lookalike.search import open_collection

    folder = photos or _bundled(output / "photos")
    edited = output / "edited"
    edited.mkdir(parents=True, exist_ok=True)
    with open_collection(output / "collection") as collection:
        _index(collection, folder)
        found, asked, shown = _ask(collection, edited)
        log(f"{found} of {asked} edited copies found their original in first place")
        figure = _draw(collection, shown, output / "found.png") if shown else None
    if not asked:
        raise SourceError(f"{folder} holds no picture that can be searched for; name another folder")
    _next(output, shown, figure)


def _bundled(target: Path) -> Path:
    """Copies of the photographs that scikit-image and scikit-learn carry, found without importing either."""
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
    with ProgressLine("pictures") as progress:
        report = collection.sync(folder, options=SyncOptions(workers=default_workers(), progress=progress))
    new = report.added + report.changed
    rate = f", {new / report.seconds:.0f} pictures a second" if new else ""
    log(f"{len(collection):,} pictures indexed in {report.seconds:.1f} s{rate}")


def _ask(collection: "Collection", edited: Path) -> tuple[int, int, Path | None]:
    """Search with an edited copy of each of a few pictures. Returns found, asked, and the copy to show."""
    found = asked = 0
    shown: dict[str, Path] = {}
    for name, original, copy in _copies(collection, edited):
        hit = collection.search(copy, 1)[0]
        right = _same_bytes(hit.id, original, collection)
        asked, found = asked + 1, found + right
        if right:
            shown.setdefault(name, copy)
    return found, asked, shown.get("screenshot") or next(iter(shown.values()), None)


def _copies(collection: "Collection", folder: Path) -> Iterator[tuple[str, str, Path]]:
    """(edit, the original's id, the file of the copy) for a sample of the collection."""
    from lookalike.image import get_edit

    for n, (image_id, picture) in enumerate(_sample(collection)):
        edit, strength = _EDITS[n % len(_EDITS)]
        path = folder / f"{n:02}-{edit}.jpg"
        _write(path, get_edit(edit).apply(picture, strength, n))
        yield edit, image_id, path


def _sample(collection: "Collection") -> Iterator[tuple[str, "RGB"]]:
    """Up to 24 pictures of the collection that can still be read, the same ones each time."""
    from lookalike.errors import ImageError
    from lookalike.image import decode, read

    rows = [
        (str(i), str(path))
        for part in collection.store.scan(["id", "path"], where="not plain")
        for i, path in zip(part["id"], part["path"], strict=True)
    ]
    random.Random(0).shuffle(rows)  # noqa: S311 - a sample, no secret
    taken = 0
    for image_id, path in sorted(rows[: 4 * _ASKED]):
        try:
            picture = decode(read(path, collection.limits), side=480, limits=collection.limits).image
        except ImageError:
            continue
        taken += 1
        yield image_id, picture
        if taken == _ASKED:
            return


def _write(path: Path, picture: "RGB") -> None:
    from lookalike.image import thumbnail

    path.write_bytes(thumbnail(picture, side=4096, quality=90))


def _same_bytes(found: str, original: str, collection: "Collection") -> bool:
    """Whether the hit is the original, or a file with the very same bytes under another name."""
    a, b = (row.metadata["sha256"] if row else None for row in collection.get([found, original], ["sha256"]))
    return found == original or (a is not None and a == b)


def _draw(collection: "Collection", query: Path, target: Path) -> Path:
    from lookalike.plot import hits, save

    log(f"$ lookalike search {query} -c {collection.uri} -k 12 --plot {target}")
    return save(hits(collection.search(query, 12)), target)


def _next(output: Path, shown: Path | None, figure: Path | None) -> None:
    if figure:
        log(f"the picture of the results: {figure}")
    log("\ntry next:")
    log("  lookalike index ~/Pictures")
    log("  lookalike search PICTURE.jpg -k 12 --plot found.png")
    log(f"  lookalike search {shown or 'PICTURE.jpg'} -c {output / 'collection'} --json")
