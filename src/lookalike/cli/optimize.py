"""lookalike optimize: tidy a collection's files, and build its search index."""

from typing import Annotated

import typer

from lookalike.cli.info import index_words
from lookalike.cli.options import CollectionOption, JsonOption, RayOption, task_pool
from lookalike.cli.output import log, print_json, print_row


def optimize(
    drop_index: Annotated[
        bool, typer.Option("--drop-index", help="Delete the search index instead; the images stay.")
    ] = False,
    ray: RayOption = None,
    collection: CollectionOption = None,
    json: JsonOption = False,
) -> None:
    """Merge small files and build or extend the search index of 100,000 images and more, as index does at its end."""
    from dataclasses import asdict

    from lookalike.search import open_collection
    from lookalike.store import drop_index as drop
    from lookalike.store import index_facts

    if ray and drop_index:
        raise typer.BadParameter("nothing is built here; leave it out", param_hint="--ray")
    with open_collection(collection, create=False) as photos:
        if drop_index:
            existed = drop(photos.store)
            print_json({"dropped": existed}) if json else log(
                "the index was deleted" if existed else "there is no index"
            )
            return
        with task_pool(ray) as tasks:
            photos.optimize(tasks=tasks)
        facts = index_facts(photos.store)
    if json:
        print_json({"index": None if facts is None else asdict(facts)})
    else:
        print_row(f"index       {index_words(facts)}")
