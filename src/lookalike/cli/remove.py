"""lookalike remove: remove images or metadata columns from a collection; files are never changed."""

from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.options import CollectionOption, JsonOption
from lookalike.cli.output import log, print_json
from lookalike.cli.usage_errors import checked_by
from lookalike.errors import BadQuery, UnknownId
from lookalike.text import counted

if TYPE_CHECKING:
    from lookalike.search import Collection


def _check_column(name: str) -> None:
    from lookalike.indexing.plan import BUILTIN_COLUMNS

    if name in BUILTIN_COLUMNS and name != "label":
        raise BadQuery(f"the column {name!r} belongs to the collection itself; only your own columns can be removed")


def remove(
    targets: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATH]...", help="Files, folders, or id:ID."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            callback=checked_by(_check_column),
            help="A metadata column to remove from all images; may be repeated.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="An added model, whose vectors to remove from all images.")
    ] = None,
    collection: CollectionOption = None,
    json: JsonOption = False,
) -> None:
    """Remove images, by file, folder or id, or metadata columns, or an added model. The files themselves stay."""
    from lookalike.search import open_collection

    if not targets and not column and not model:
        raise typer.BadParameter("nothing to remove; name files, folders, id:ID, --column NAME, or --model NAME")
    with open_collection(collection, create=False) as photos:
        if column:
            _drop(photos, column)
        if model:
            photos.added_models.remove(model)
            log(f"the vectors of {model} removed from all images")
        if not targets:
            return
        ids = {image_id for target in targets for image_id in _ids(photos, target)}
        if not ids:
            raise UnknownId(
                f"{photos.uri} has no images of {', '.join(targets)}; list its folders with: lookalike info"
            )
        removed = photos.remove(ids)
        roots = photos.forget_roots(targets)
    if json:
        print_json({"removed": removed, "roots": roots})
    log(f"{counted(removed, 'image')} removed from the collection; no file was changed")
    if not roots:
        log("the next `lookalike index` adds them again if their folder is still indexed")


def _drop(photos: "Collection", columns: list[str]) -> None:
    known = photos.store.columns()
    if unknown := [name for name in columns if name not in known]:
        raise BadQuery(f"there is no column {unknown[0]!r}; see the columns with: lookalike info -c {photos.uri}")
    removed = photos.store.drop_columns(columns)
    log(f"{removed:,} columns removed")


def _ids(photos: "Collection", target: str) -> list[str]:
    from lookalike.image import absolute_text

    if target.startswith("id:"):
        image_id = target.removeprefix("id:")
        return [image_id] if image_id in photos else []
    return photos.ids_under(absolute_text(target))
