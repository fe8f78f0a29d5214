"""lookalike map: the whole collection at a glance, as a page to move about in and as a figure."""

from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.options import CollectionOption
from lookalike.cli.output import log
from lookalike.cli.output_files import check_output_files


def map(
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE.html", help="The page; a .png of the same name stands beside it."),
    ] = Path("map.html"),
    again: Annotated[
        bool, typer.Option("--again", help="Lay the map out anew instead of placing new pictures on it.")
    ] = False,
    collection: CollectionOption = None,
) -> None:
    """Draw all pictures in the plane, alike ones near each other; the map is kept, and new pictures move nobody."""
    from lookalike.cluster import NoClusters, known_labels, load_clusters, make_map
    from lookalike.plot import map_figure, map_page, save
    from lookalike.search import open_collection

    check_output_files(output)
    with open_collection(collection, create=False) as photos:
        ids, positions = make_map(photos, again=again)
        labels = known_labels(photos, spread=True)
        try:
            clusters = load_clusters(photos)
        except NoClusters:
            clusters = None
        page = output if output.suffix == ".html" else output.with_suffix(".html")
        log(f"written: {map_page(photos, ids, positions, page, clusters=clusters, labels=labels)}")
        figure = map_figure(photos, ids, positions, clusters=clusters, labels=labels)
        log(f"drawn: {save(figure, page.with_suffix('.png'))}")
