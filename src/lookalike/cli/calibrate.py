"""lookalike calibrate: fit the meaning of a score to a collection's own images."""

from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.options import CollectionOption, JsonOption
from lookalike.cli.output import log, print_json, print_row
from lookalike.cli.output_files import FIGURE


def calibrate(
    sample: Annotated[int, typer.Option(metavar="N", min=20, help="The number of images to edit and compare.")] = 150,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            callback=FIGURE,
            help="Draw the stated probability against the truth, on held-out images.",
        ),
    ] = None,
    collection: CollectionOption = None,
    json: JsonOption = False,
) -> None:
    """Fit probabilities and expected false matches to the collection, also using the decisions saved by duplicates."""
    from lookalike.duplicates import Decisions
    from lookalike.relate.probability.calibrate_collection import calibrate as fit
    from lookalike.search import open_collection

    with open_collection(collection, create=False) as photos:
        log(f"editing and comparing {min(sample, len(photos)):,} of {len(photos):,} images, at about a second each")
        fitted = fit(photos, sample=sample, labeled=Decisions(photos).labeled_pairs())
    facts = fitted.calibration.facts
    if json:
        print_json(fitted.calibration.to_json())
    else:
        print_row(
            f"calibrated on {facts['images']} images and {facts['pairs']:,} pairs, {fitted.decided} decided by you"
        )
        print_row(f"calibration error on {facts['held_out']:,} pairs of other images: {fitted.error:.3f}")
        print_row(f"P(copy | score) is 50% at {fitted.calibration.min_score(0.5):.3f}")
    if fitted.left_out:
        log(f"{fitted.left_out} pairs were left out because they look like copies but are not labeled as copies")
    if plot:
        from lookalike.plot import reliability, save

        log(f"drawn: {save(reliability({'P(copy), held out': (fitted.stated, fitted.truth)}), plot)}")
