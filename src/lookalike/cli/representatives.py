"""lookalike representatives: a few pictures that cover the whole collection."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from lookalike.cli.options import CollectionOption, JsonOption, open_to_read
from lookalike.cli.output import log, print_json, print_row
from lookalike.cli.output_files import check_output_files
from lookalike.text import counted


def representatives(
    k: Annotated[int, typer.Option("-k", min=1, help="How many.")] = 100,
    plot: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE.png", help="Draw each with pictures that it stands for."),
    ] = None,
    collection: CollectionOption = None,
    json: JsonOption = False,
) -> None:
    """Print k pictures such that every picture is alike to one of them: for how many each stands, and its id."""
    import numpy as np

    from lookalike.cluster import cover, read_vectors

    check_output_files(plot)
    with open_to_read(collection) as photos:
        ids, vectors = read_vectors(photos)
        found = cover(vectors, k)
        sizes = np.bincount(found.cell, minlength=len(found.rows))
        order = np.argsort(-sizes, kind="stable")
        for rank, place in enumerate(order, 1):
            lowest = float(found.scores[found.cell == place].min(initial=1))
            name = ids[found.rows[place]]
            if json:
                print_json({"rank": rank, "id": name, "stands_for": int(sizes[place]), "lowest": round(lowest, 4)})
            else:
                print_row(f"{rank:>3}  {sizes[place]:>7,}  {lowest:.3f}  {name}")
        told = f"every score to the nearest of them is at least {found.lowest:.3f}"
        log(f"{counted(len(order), 'picture')} cover{'s' * (len(order) == 1)} {len(ids):,}: {told}")
        if plot:
            from lookalike.plot import neighbour_rows, save

            asked, near = [], []
            for place in order[:12]:
                cell = np.flatnonzero(found.cell == place)
                # The farthest that it stands for: they show how far it reaches.
                far = [row for row in cell[np.argsort(found.scores[cell])] if row != found.rows[place]][:6]
                asked.append((ids[found.rows[place]], f"stands for {sizes[place]:,}"))
                near.append([(ids[row], float(found.scores[row])) for row in far])
            title = "Representatives and the farthest they stand for"
            log(f"drawn: {save(neighbour_rows(photos, asked, near, title=title), plot)}")
