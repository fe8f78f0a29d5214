"""lookalike remove: take images out of a collection; files are never touched."""

from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.options import CollectionOption, JsonOption
from lookalike.cli.output import emit, say
from lookalike.errors import UnknownId

if TYPE_CHECKING:
    from lookalike.search import Collection


def remove(
    targets: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files, folders, or id:ID.")],
    collection: CollectionOption = None,
    json: JsonOption = False,
) -> None:
    """Forget images: of a file, of a whole folder, or by id. The files themselves stay where they are."""
    from lookalike.search import open_collection

    with open_collection(collection, create=False) as photos:
        ids = {image_id for target in targets for image_id in _ids(photos, target)}
        if not ids:
            raise UnknownId(
                f"{photos.uri} holds nothing of {', '.join(targets)}; see what it holds with: lookalike info"
            )
        gone = photos.remove(ids)
        forgotten = photos.forget_roots(targets)
    if json:
        emit({"removed": gone, "roots": forgotten})
    say(f"{gone:,} images forgotten; their files are untouched")
    if not forgotten:
        say("the next `lookalike index` takes them in again while their folder is one of the collection's")


def _ids(photos: "Collection", target: str) -> list[str]:
    from lookalike.search.plan import absolute_text

    if target.startswith("id:"):
        wanted = target.removeprefix("id:")
        return [wanted] if wanted in photos else []
    return photos.ids_beneath(absolute_text(target))
