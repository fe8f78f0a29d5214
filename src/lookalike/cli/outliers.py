"""lookalike outliers: the images least like the rest, each with its nearest neighbors."""

from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.options import CollectionOption, JsonOption, open_to_read
from lookalike.cli.output import log, print_json, print_row
from lookalike.cli.output_files import FIGURE, TABLE, check_output_files

_LEGEND = (
    "columns: rank, outlier factor (1: as dense as its neighbors), uniqueness (1 minus the mean score of the 3 "
    "nearest), score of the nearest, id"
)
_ALONE = "there is only one image, and nothing to compare it with; index more images"


def outliers(
    k: Annotated[int, typer.Option("-k", metavar="N", min=1, help="Number of images.")] = 50,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            callback=TABLE,
            help="Write the figures of every image as .csv or .parquet.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", callback=FIGURE, help="Draw each with its nearest neighbors."),
    ] = None,
    collection: CollectionOption = None,
    json: JsonOption = False,
) -> None:
    """Print the k strongest outliers: local outlier factor, uniqueness, score to the nearest image, id."""
    from lookalike.cluster import outliers as find_outliers
    from lookalike.cluster import read_vectors, write_columns

    check_output_files(output, plot)
    with open_to_read(collection) as photos:
        ids, vectors = read_vectors(photos)
        result = find_outliers(vectors)
        worst = result.worst(k)
        alone = not result.scores.shape[1]
        nearest = [None] * len(ids) if alone else [ids[row] for row in result.rows[:, 0]]
        scores = [None] * len(ids) if alone else [round(score, 4) for score in result.scores[:, 0].tolist()]
        for rank, row in enumerate(worst, 1):
            factor, unique = float(result.factor[row]), float(result.uniqueness[row])
            if json:
                print_json({"rank": rank, "id": ids[row], "factor": round(factor, 4), "uniqueness": round(unique, 4),
                      "nearest": nearest[row], "score": scores[row]})  # fmt: skip
            else:
                shown = "    -" if alone else f"{scores[row]:.3f}"
                print_row(f"{rank:>3}  {factor:6.3f}  {unique:.3f}  {shown}  {ids[row]}")
        log(_ALONE if alone else _LEGEND)
        if output:
            columns = {"id": ids, "factor": result.factor.tolist(), "uniqueness": result.uniqueness.tolist(),
                       "nearest": nearest, "score": scores}  # fmt: skip
            log(f"written: {write_columns(columns, output)}")
        if plot:
            from lookalike.plot import neighbor_rows, save

            rows = [(ids[row], f"factor {result.factor[row]:.2f}") for row in worst[:12]]
            near = [[(ids[r], float(s)) for r, s in zip(result.rows[row, :6], result.scores[row], strict=False)]
                    for row in worst[:12]]  # fmt: skip
            log(f"drawn: {save(neighbor_rows(photos, rows, near, title='Outliers and their nearest neighbors'), plot)}")
