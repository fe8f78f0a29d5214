"""lookalike outliers: the pictures that stand apart, each with the neighbours that say so."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from lookalike.cli.options import CollectionOption, JsonOption, open_to_read
from lookalike.cli.output import log, print_json, print_row
from lookalike.cli.output_files import check_output_files
from lookalike.cli.usage_errors import usage_error_for

_MEANING = "factor 1 is as dense as its neighbours; uniqueness is 1 less the mean score of the 3 nearest"
_ALONE = "there is one picture, and nothing that it could stand apart from; index more"


def outliers(
    k: Annotated[int, typer.Option("-k", min=1, help="How many.")] = 50,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("-o", "--output", metavar="FILE", help="Every picture's figures as .csv or .parquet."),
    ] = None,
    plot: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE.png", help="Draw each with its nearest neighbours."),
    ] = None,
    collection: CollectionOption = None,
    json: JsonOption = False,
) -> None:
    """Print the k pictures that stand apart most: local outlier factor, uniqueness, score to the nearest, id."""
    from lookalike.cluster import check_ending, read_vectors, write_columns
    from lookalike.cluster import outliers as judge

    with usage_error_for("-o"):
        if output:
            check_ending(output)
    check_output_files(output, plot)
    with open_to_read(collection) as photos:
        ids, vectors = read_vectors(photos)
        found = judge(vectors)
        worst = found.worst(k)
        alone = not found.scores.shape[1]
        nearest = [None] * len(ids) if alone else [ids[row] for row in found.rows[:, 0]]
        scores = [None] * len(ids) if alone else [round(score, 4) for score in found.scores[:, 0].tolist()]
        for rank, row in enumerate(worst, 1):
            factor, unique = float(found.factor[row]), float(found.uniqueness[row])
            if json:
                print_json({"rank": rank, "id": ids[row], "factor": round(factor, 4), "uniqueness": round(unique, 4),
                      "nearest": nearest[row], "score": scores[row]})  # fmt: skip
            else:
                shown = "    -" if alone else f"{scores[row]:.3f}"
                print_row(f"{rank:>3}  {factor:6.3f}  {unique:.3f}  {shown}  {ids[row]}")
        log(_ALONE if alone else _MEANING)
        if output:
            columns = {"id": ids, "factor": found.factor.tolist(), "uniqueness": found.uniqueness.tolist(),
                       "nearest": nearest, "score": scores}  # fmt: skip
            log(f"written: {write_columns(columns, output)}")
        if plot:
            from lookalike.plot import neighbour_rows, save

            asked = [(ids[row], f"factor {found.factor[row]:.2f}") for row in worst[:12]]
            near_ids = [[(ids[r], float(s)) for r, s in zip(found.rows[row, :6], found.scores[row], strict=False)]
                        for row in worst[:12]]  # fmt: skip
            log(f"drawn: {save(neighbour_rows(photos, asked, near_ids, title='Outliers and their nearest'), plot)}")
