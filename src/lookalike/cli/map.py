"""lookalike map: the whole collection in the plane, as an interactive page and as a figure."""

from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.options import CollectionOption
from lookalike.cli.output import log
from lookalike.cli.output_files import check_output_files, ends_in
from lookalike.text import counted


def map(
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE.html",
            callback=ends_in(".html"),
            help="The page; a .png of the same name is written beside it.",
        ),
    ] = Path("map.html"),
    again: Annotated[
        bool, typer.Option("--again", help="Lay out the whole map again instead of placing only new images.")
    ] = False,
    collection: CollectionOption = None,
) -> None:
    """Draw all images in the plane, similar ones close together; the map is saved, new images move no other."""
    from lookalike.cluster import NoClusters, known_labels, load_clusters, make_map, shown_rows
    from lookalike.plot import map_figure, map_page, save
    from lookalike.search import open_collection

    figure_file = output.with_suffix(".png")
    check_output_files(output, figure_file)
    with open_collection(collection, create=False) as photos:
        all_ids, all_positions = make_map(photos, again=again)
        rows = shown_rows(len(all_ids))
        ids, positions = [all_ids[row] for row in rows.tolist()], all_positions[rows]
        if len(ids) < len(all_ids):
            log(f"the page and the figure show {len(ids):,} of {counted(len(all_ids), 'image')}, chosen at random")
        labels = known_labels(photos, spread=True)
        try:
            clusters = load_clusters(photos)
        except NoClusters:
            clusters = None
        log(f"written: {map_page(photos, ids, positions, output, clusters=clusters, labels=labels)}")
        figure = map_figure(photos, ids, positions, clusters=clusters, labels=labels)
        log(f"drawn: {save(figure, figure_file)}")
