"""lookalike info: the contents of a collection."""

import os
import shlex
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.options import CollectionOption, JsonOption, open_to_read
from lookalike.cli.output import print_json, print_row
from lookalike.deprecation import with_old_keys
from lookalike.schema import KEEPS_LOCAL_FEATURES
from lookalike.text import bytes_text, percent

if TYPE_CHECKING:
    from lookalike.search import Collection
    from lookalike.store.lance.store import IndexFacts


def info(
    collection: CollectionOption = None,
    failures: Annotated[
        bool, typer.Option("--failures", help="List the files that could not be used, with reasons.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Print what a collection holds: images, model, columns, folders, and files that could not be used."""
    with open_to_read(collection) as photos:
        if failures:
            for failure in (*photos.failures(), *photos.added_models.failures()):
                facts = {"path": failure.path, "reason": failure.reason}
                print_json(facts) if json else print_row(f"{failure.path}: {failure.reason}")
            return
        facts = describe(photos)
    if json:
        print_json(facts)
    else:
        _print(facts)


def describe(photos: "Collection") -> dict[str, Any]:
    """The facts that `info` prints, under stable names."""
    from lookalike.image.sources.files import is_present

    facts = {
        "collection": photos.uri,
        "images": len(photos),
        "plain": sum(len(part["id"]) for part in photos.store.scan(["id"], where="plain")),
        "failed": len(photos.failures()),
        "model": photos.card.name,
        "dim": photos.card.dim,
        "parts": {part.name: part.dim for part in photos.card.parts},
        "local_features": KEEPS_LOCAL_FEATURES.name in photos.store.settings,
        "license": photos.card.license,
        "added_models": list(map(_added_model, photos.added_models.views())),
        "roots": [{"path": r.path, "kind": r.kind, "present": is_present(r.path)} for r in photos.roots()],
        "columns": {name: kind.__name__ for name, kind in photos.store.columns().items()},
        "bytes": _size(photos.uri),
        "index": _index(photos),
    }
    return with_old_keys(facts)


def _added_model(view: "tuple[str, Collection]") -> dict[str, Any]:
    name, photos = view
    facts = {"name": name, "model": photos.card.name, "dim": photos.card.dim, "license": photos.card.license}
    return facts | {"words": photos.card.text is not None, "images": len(photos), "index": _index(photos)}


def _index(photos: "Collection") -> dict[str, Any] | None:
    from lookalike.store import index_facts

    facts = index_facts(photos.store)
    return None if facts is None else asdict(facts)


def index_words(facts: "IndexFacts | None") -> str:
    """Return "1,000,000 images; finds 99% of the ten nearest in 205 of 4,000 lists; 1.1 GB, built in 50 s"."""
    if facts is None:
        return "none: a search compares all images"
    covered = f"{facts.indexed:,} of {facts.images:,}" if facts.indexed < facts.images else f"{facts.images:,}"
    effort = "" if facts.probes is None else f" in {facts.probes:,} of {facts.lists:,} lists"
    return (
        f"{covered} images; finds {percent(facts.recall, 0)} of the ten nearest{effort}; {bytes_text(facts.bytes)}, "
        f"built in {facts.seconds:,.0f} s"
    )


def _dims(facts: dict[str, Any]) -> str:
    """Return "512 numbers (alike 256, copy 256)"."""
    parts = ", ".join(f"{name} {dim}" for name, dim in facts["parts"].items())
    return f"{facts['dim']} numbers" + (f" ({parts})" if parts else "")


def _size(uri: str) -> int | None:
    """Bytes on disk; None for an object store."""
    if not os.path.isdir(uri):
        return None
    return sum(os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(uri) for name in names)


def newer_model_advice(model: str, roots: Iterable[str]) -> str:
    """Return how to use the present default model, for a collection of an earlier one; "" for any other model."""
    from lookalike.embed import BASE_MODEL, DEFAULT_MODEL

    if model != BASE_MODEL:
        return ""
    folders = " ".join(map(shlex.quote, roots)) or "FOLDER"
    return (
        f"{DEFAULT_MODEL}, the default of new collections, finds more edited copies; "
        f"to use it, index into another collection: lookalike index {folders} -c NEW"
    )


def _print(facts: dict[str, Any]) -> None:
    from lookalike.store.lance.store import INDEX_ROWS, IndexFacts

    size = "" if facts["bytes"] is None else f", {facts['bytes'] / 1e6:,.1f} MB"
    print_row(f"collection  {facts['collection']}{size}")
    print_row(f"images      {facts['images']:,} ({facts['plain']:,} too plain to compare)")
    print_row(f"failed      {facts['failed']:,} files" + ("; list them with --failures" if facts["failed"] else ""))
    print_row(f"model       {facts['model']}, {_dims(facts)} per image, {facts['license']}")
    for added in facts["added_models"]:
        words = ", reads words" if added["words"] else ""
        print_row(
            f"and model   {added['name']}, {added['dim']} numbers per image, {added['license']}{words}: "
            f"{added['images']:,} images; search by it with: --by {added['name']}"
        )
    if advice := newer_model_advice(facts["model"], [root["path"] for root in facts["roots"]]):
        print_row(f"            {advice}")
    if facts["local_features"]:
        print_row("details     local features are kept; use them with: lookalike search IMAGE --parts")
    if facts["index"] is None:
        if facts["images"] >= INDEX_ROWS:
            print_row("index       none, and a search compares all images; build one with: lookalike optimize")
    else:
        print_row(f"index       {index_words(IndexFacts(**facts['index']))}")
        if not os.path.isdir(facts["collection"]):
            print_row(f"            in {facts['index']['folder']}; delete it with: lookalike optimize --drop-index")
    print_row(f"columns     {', '.join(f'{name} {kind}' for name, kind in facts['columns'].items())}")
    for root in facts["roots"]:
        print_row(f"{root['kind']:<11} {root['path']}" + ("" if root["present"] else "  (missing)"))
