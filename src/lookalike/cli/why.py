"""lookalike why: whether a file is in the collection, and if not, why."""

import os
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.options import CollectionOption, JsonOption, open_to_read
from lookalike.cli.output import print_json, print_row
from lookalike.store.where import quote_text

if TYPE_CHECKING:
    from lookalike.image import SystemFolder
    from lookalike.search import Collection

_VERBS = {"is", "has", "holds", "takes", "was", "cannot", "begins", "stops", "crashed", "contains"}


def why(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file, or a member of an archive: photos.zip!/a.jpg")],
    collection: CollectionOption = None,
    json: JsonOption = False,
) -> None:
    """Tell whether a file is in the collection, and if not, why."""
    with open_to_read(collection) as photos:
        answer = _explain(photos, file)
    if json:
        print_json(answer)
    else:
        print_row(f"{answer['path']}: {answer['answer']}")


def _explain(photos: "Collection", file: str) -> dict[str, Any]:
    from lookalike.image import absolute_text, system_folder_of

    path = absolute_text(file)
    rows = rows_of(photos, path)
    if rows:
        hit = photos.get(rows[:1], ["width", "height", "format", "indexed", "plain"])[0]
        columns = hit.metadata if hit else {}
        plain = ", too plain to compare" if columns.get("plain") else ""
        size = f"{columns.get('width')!s} x {columns.get('height')!s} {columns.get('format')!s}"
        inside = f"; it is in {folder.path}, {folder.words}" if (folder := system_folder_of(path)) else ""
        plain += _tone_mapped(photos, path)
        answer = f"in the collection as {', '.join(rows)} ({size}), since {columns.get('indexed')!s}{plain}{inside}"
        return {"path": path, "state": "indexed", "answer": answer, "ids": rows}
    reason = next((f.reason for f in photos.failures() if f.path == path), None)
    if reason:
        return {"path": path, "state": "failed", "answer": f"not in the collection; {_clause(reason)}"}
    return {"path": path, **_outside(photos, path)}


def _clause(reason: str) -> str:
    """Return a reason as a clause: most begin with their verb ("is empty")."""
    return f"it {reason}" if reason.split(" ", 1)[0] in _VERBS else reason


def _tone_mapped(photos: "Collection", path: str) -> str:
    """Return a note for an image in high dynamic range; "" for others and for files that are gone."""
    from lookalike.errors import ImageError
    from lookalike.image import GuardedDecoder, read

    try:
        with GuardedDecoder(photos.limits) as decoder:
            curve = decoder.dynamic_range(read(path, photos.limits))
    except ImageError:
        return ""
    return f", in high dynamic range ({curve}), tone-mapped" if curve else ""


def rows_of(photos: "Collection", path: str) -> list[str]:
    """Return the ids of a file's images."""
    return [str(i) for part in photos.store.scan(["id"], where=f"path = {quote_text(path)}") for i in part["id"]]


def _outside(photos: "Collection", path: str) -> dict[str, str]:
    """Return why a file that was never indexed is not in the collection."""
    from lookalike.errors import ImageError
    from lookalike.image import GuardedDecoder, read
    from lookalike.image.sources.files import exists
    from lookalike.image.sources.source_types import is_candidate

    if "!/" not in path and not exists(path):
        return {"state": "absent", "answer": "no such file, and no image with this path in the collection"}
    try:
        with GuardedDecoder(photos.limits) as decoder:
            decoder.decode(read(path, photos.limits), side=64)
    except ImageError as error:
        return {"state": "unreadable", "answer": f"not in the collection; {_clause(error.reason)}"}
    if (folder := _skipped_folder(photos, path)) is not None:
        return {
            "state": "passed over",
            "answer": f"a valid image, but it is in {folder.path}, {folder.words}, which is skipped unless named; "
            f"add it with: lookalike index {shlex.quote(path)} (or name the folder, for all "
            f"{'originals ' if folder.kind == 'library' else ''}inside)",
        }
    if not any(path.startswith(root.path) for root in photos.roots()):
        return {
            "state": "outside",
            "answer": f"a valid image, but not in an indexed folder; add it with: lookalike index '{path}'",
        }
    if not is_candidate(os.path.basename(path)):
        return {
            "state": "passed over",
            "answer": f"a valid image, but hidden or without an image extension; add it with: lookalike index '{path}'",
        }
    return {"state": "new", "answer": "a valid image, added after the last run; index it with: lookalike index"}


def _skipped_folder(photos: "Collection", path: str) -> "SystemFolder | None":
    """Return the system folder because of which a file is skipped; None when a source of the collection lists it."""
    from lookalike.image import system_folder_of

    roots = [root.path for root in photos.roots() if path.startswith((f"{root.path}/", f"{root.path}\\"))]
    folders = [system_folder_of(path, root) for root in roots or [""]]
    return None if None in folders else folders[-1]
