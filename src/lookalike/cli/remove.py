"""lookalike remove: take images out of a collection; files are never touched."""

from typing import TYPE_CHECKING, Annotated, Optional

import typer

from lookalike.cli.options import CollectionOption, JsonOption
from lookalike.cli.output import log, print_json
from lookalike.errors import BadQuery, UnknownId

if TYPE_CHECKING:
    from lookalike.search import Collection


def remove(
    targets: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="PATH...", help="Files, folders, or id:ID."),
    ] = None,
    column: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="NAME", help="A column of metadata that all images lose; may be repeated."),
    ] = None,
    collection: CollectionOption = None,
    json: JsonOption = False,
) -> None:
    """Forget images: of a file, of a whole folder, or by id; or columns of metadata. The files themselves stay."""
    from lookalike.search import open_collection

    if not targets and not column:
        raise BadQuery("nothing is named; give files, folders, id:ID, or --column NAME")
    with open_collection(collection, create=False) as photos:
        if column:
            _drop(photos, column)
        if not targets:
            return
        ids = {image_id for target in targets for image_id in _ids(photos, target)}
        if not ids:
            raise UnknownId(
                f"{photos.uri} holds nothing of {', '.join(targets)}; see what it holds with: lookalike info"
            )
        gone = photos.remove(ids)
        forgotten = photos.forget_roots(targets)
    if json:
        print_json({"removed": gone, "roots": forgotten})
    log(f"{gone:,} images forgotten; their files are untouched")
    if not forgotten:
        log("the next `lookalike index` takes them in again while their folder is one of the collection's")


def _drop(photos: "Collection", columns: list[str]) -> None:
    from lookalike.indexing.plan import BUILTIN_COLUMNS

    if ours := [name for name in columns if name in BUILTIN_COLUMNS and name != "label"]:
        raise BadQuery(f"the column {ours[0]!r} is kept by the collection itself; only columns of your own can go")
    known = photos.store.columns()
    if unknown := [name for name in columns if name not in known]:
        raise BadQuery(f"there is no column {unknown[0]!r}; see those there are with: lookalike info -c {photos.uri}")
    gone = photos.store.drop_columns(columns)
    log(f"{gone:,} columns forgotten")


def _ids(photos: "Collection", target: str) -> list[str]:
    from lookalike.indexing.plan import absolute_text

    if target.startswith("id:"):
        wanted = target.removeprefix("id:")
        return [wanted] if wanted in photos else []
    return photos.ids_under(absolute_text(target))
