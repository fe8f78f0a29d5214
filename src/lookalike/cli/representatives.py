"""lookalike representatives: a few images that cover the whole collection."""

from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.options import CollectionOption, JsonOption, open_to_read
from lookalike.cli.output import log, print_json, print_row
from lookalike.cli.output_files import FIGURE, check_output_files
from lookalike.text import counted


def representatives(
    k: Annotated[int, typer.Option("-k", metavar="N", min=1, help="Number of representatives.")] = 100,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", callback=FIGURE, help="Draw each with images that it represents."),
    ] = None,
    collection: CollectionOption = None,
    json: JsonOption = False,
) -> None:
    """Print k images such that every image is similar to one of them: how many each represents, lowest score, id."""
    import numpy as np

    from lookalike.cluster import cover, read_vectors

    check_output_files(plot)
    with open_to_read(collection) as photos:
        ids, vectors = read_vectors(photos)
        covering = cover(vectors, k)
        sizes = np.bincount(covering.cell, minlength=len(covering.rows))
        order = np.argsort(-sizes, kind="stable")
        for rank, index in enumerate(order, 1):
            lowest = float(covering.scores[covering.cell == index].min(initial=1))
            name = ids[covering.rows[index]]
            if json:
                print_json({"rank": rank, "id": name, "stands_for": int(sizes[index]), "lowest": round(lowest, 4)})
            else:
                print_row(f"{rank:>3}  {sizes[index]:>7,}  {lowest:.3f}  {name}")
        scores = f"each has a score of at least {covering.lowest:.3f} to the nearest of them"
        log(f"{counted(len(order), 'image')} represent{'s' * (len(order) == 1)} all {len(ids):,}: {scores}")
        if plot:
            from lookalike.plot import neighbor_rows, save

            chosen, near = [], []
            for index in order[:12]:
                cell = np.flatnonzero(covering.cell == index)
                # The farthest images that it represents show how much it covers.
                far = [row for row in cell[np.argsort(covering.scores[cell])] if row != covering.rows[index]][:6]
                chosen.append((ids[covering.rows[index]], f"represents {sizes[index]:,}"))
                near.append([(ids[row], float(covering.scores[row])) for row in far])
            title = "Representatives and the farthest images of each"
            log(f"drawn: {save(neighbor_rows(photos, chosen, near, title=title), plot)}")
