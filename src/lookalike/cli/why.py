"""lookalike why: what became of a file, and the reason."""

import os
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.options import CollectionOption, JsonOption, open_to_read
from lookalike.cli.output import print_json, print_row

if TYPE_CHECKING:
    from lookalike.image import SystemFolder
    from lookalike.search import Collection


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
    from lookalike.image import system_folder_of
    from lookalike.indexing.plan import absolute_text

    path = absolute_text(file)
    rows = rows_of(photos, path)
    if rows:
        facts = photos.get(rows[:1], ["width", "height", "format", "indexed", "plain"])[0]
        seen = facts.metadata if facts else {}
        plain = ", too plain to compare" if seen.get("plain") else ""
        size = f"{seen.get('width')!s} x {seen.get('height')!s} {seen.get('format')!s}"
        inside = f"; it lies in {folder.path}, {folder.words}" if (folder := system_folder_of(path)) else ""
        plain += _tone_mapped(photos, path)
        told = f"in the collection as {', '.join(rows)}: {size}, since {seen.get('indexed')!s}{plain}{inside}"
        return {"path": path, "state": "indexed", "answer": told, "ids": rows}
    reason = next((f.reason for f in photos.failures() if f.path == path), None)
    if reason:
        return {"path": path, "state": "failed", "answer": f"not in the collection: {reason}"}
    return {"path": path, **_outside(photos, path)}


def _tone_mapped(photos: "Collection", path: str) -> str:
    """What was done to a picture in high dynamic range, if it is one and is there."""
    from lookalike.errors import ImageError
    from lookalike.image import GuardedDecoder, read

    try:
        with GuardedDecoder(photos.limits) as decoder:
            curve = decoder.dynamic_range(read(path, photos.limits))
    except ImageError:
        return ""
    return f", in high dynamic range ({curve}), tone-mapped" if curve else ""


def rows_of(photos: "Collection", path: str) -> list[str]:
    """The ids of a file's images."""
    quoted = path.replace("'", "''")
    return [str(i) for part in photos.store.scan(["id"], where=f"path = '{quoted}'") for i in part["id"]]


def _outside(photos: "Collection", path: str) -> dict[str, str]:
    """Why a file that the collection never saw is not in it."""
    from lookalike.errors import ImageError
    from lookalike.image import GuardedDecoder, read, to_path
    from lookalike.image.sources.source_types import is_candidate

    if "!/" not in path and not os.path.lexists(to_path(path)):
        return {"state": "absent", "answer": "there is no such file, and the collection knows none of that name"}
    try:
        with GuardedDecoder(photos.limits) as decoder:
            decoder.decode(read(path, photos.limits), side=64)
    except ImageError as error:
        return {"state": "unreadable", "answer": f"not in the collection: {error}"}
    if (folder := _passed_folder(photos, path)) is not None:
        return {
            "state": "passed over",
            "answer": f"a good picture, but it lies in {folder.path}, {folder.words}, which is passed by unless named; "
            f"add it with: lookalike index {shlex.quote(path)} (or name the folder, for all "
            f"{'originals ' if folder.kind == 'library' else ''}inside)",
        }
    if not any(path.startswith(root.path) for root in photos.roots()):
        return {
            "state": "outside",
            "answer": f"a good picture, under no folder of the collection; add it with: lookalike index '{path}'",
        }
    if not is_candidate(os.path.basename(path)):
        return {
            "state": "passed over",
            "answer": f"a good picture, but hidden or not named like one; add it with: lookalike index '{path}'",
        }
    return {"state": "new", "answer": "a good picture that came after the last run; take it in with: lookalike index"}


def _passed_folder(photos: "Collection", path: str) -> "SystemFolder | None":
    """The system folder for which the collection's sources pass a file by, None where one of them lists it."""
    from lookalike.image import system_folder_of

    roots = [root.path for root in photos.roots() if path.startswith((f"{root.path}/", f"{root.path}\\"))]
    folders = [system_folder_of(path, root) for root in roots or [""]]
    return None if None in folders else folders[-1]
