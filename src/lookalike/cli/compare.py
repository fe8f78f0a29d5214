"""lookalike compare: the relation of two images, its probability, and the reasons."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.options import JsonOption
from lookalike.cli.output import log, print_json, print_row
from lookalike.cli.output_files import FIGURE
from lookalike.text import percent

if TYPE_CHECKING:
    from lookalike.plot import Heat
    from lookalike.relate.compare import ImageComparison
    from lookalike.relate.probability.calibration_model import Calibration
    from lookalike.types import Embedder

_MIN_MAPPED = 0.1  # of either image
ModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="MODEL", help="Without a collection: the model, by name or folder."),
]
CalibrationCollection = Annotated[
    str | None,
    typer.Option("--collection", "-c", metavar="PATH_OR_URI", help="Use this collection's model and calibration."),
]


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="The first image: the original, if one is.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The second image.")],
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", callback=FIGURE, help="Draw both images with the proof.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write report.html, report.json and proof.png."),
    ] = None,
    collection: CalibrationCollection = None,
    model: ModelOption = None,
    json: JsonOption = False,
) -> None:
    """Print the relation of two images (identical, copy, variant, same-object, related, unrelated), and the reasons."""
    from lookalike.relate.compare import compare as compare_files
    from lookalike.relate.words.report import report_facts

    embedder, calibration, folder = load_calibrated(collection, model)
    comparison = compare_files(str(first), str(second), embedder, calibration)
    heat_maps = _heat_maps(comparison, folder) if plot or report else []
    sources = "; ".join(heat.source for heat in heat_maps)
    facts = report_facts(comparison, embedder.card, calibration, heat_source=sources)
    if json:
        print_json(facts)
    else:
        _print_comparison(comparison)
    if plot:
        from lookalike.plot import save

        log(f"drawn: {save(_figure(comparison, heat_maps), plot)}")
    if report:
        _write(report, facts, comparison, heat_maps)


def load_calibrated(collection: str | None, model: str | None) -> "tuple[Embedder, Calibration, Path | None]":
    """Return the embedder, the meaning of its scores, and the folder it was loaded from, if any."""
    from lookalike.embed import DEFAULT_MODEL, get_embedder
    from lookalike.embed.registry import model_folder
    from lookalike.errors import UnknownModel
    from lookalike.relate import calibration_of, calibration_of_card

    name = model or DEFAULT_MODEL
    if collection is not None:
        from lookalike.cli.options import open_to_read

        with open_to_read(collection) as photos:
            embedder, calibration, name = photos.embedder, calibration_of(photos), photos.model
    else:
        embedder = get_embedder(name)
        calibration = calibration_of_card(embedder.card)
    try:
        return embedder, calibration, model_folder(name)
    except UnknownModel:  # a model from a hub has no heat map of its own
        return embedder, calibration, None


def _print_comparison(comparison: "ImageComparison") -> None:
    verdict = comparison.verdict
    print_row(comparison.explanation.words)
    numbers = [] if verdict.relation < 0 else [f"probability {percent(verdict.probability)}"]
    if verdict.evidence.score is not None:
        numbers.append(f"score {verdict.evidence.score:.3f}")
    if verdict.expected_false_matches is not None and verdict.relation < 4:
        numbers.append(_odds(verdict.expected_false_matches))
    print_row("; ".join(numbers))


def _odds(chance: float) -> str:
    if chance >= 0.5:
        return "most unrelated images score this high"
    if chance < 1e-6:
        return "fewer than one in a million unrelated images score this high"
    return f"one in {round(1 / chance, 1 - len(str(round(1 / chance)))):,.0f} unrelated images scores this high"


def _heat_maps(comparison: "ImageComparison", folder: Path | None) -> "list[Heat]":
    """Return the agreement of pixels and of the network's features; nothing if the images were not aligned."""
    from lookalike.plot import Heat
    from lookalike.relate.content.similarity_map import network_map

    match, agreement_map = comparison.verdict.evidence.match, comparison.explanation.agreement_map
    if match is None or agreement_map is None:
        return []
    heat_maps = [Heat(agreement_map, "agreement of pixels, after alignment")]
    # A small part in the other image would be one cell of the network's map, or none.
    comparable = folder is not None and min(match.kept_first, match.kept_second) >= _MIN_MAPPED
    feature_map = (
        network_map(comparison.first.image, comparison.second.image, match, folder) if folder and comparable else None
    )
    if feature_map is not None:
        heat_maps.append(Heat(feature_map, "agreement of the network's last feature map"))
    return heat_maps


def _figure(comparison: "ImageComparison", heat_maps: "list[Heat]") -> Any:
    from lookalike.plot import proof

    names = (comparison.first.subject.name, comparison.second.subject.name)
    images = (comparison.first.image, comparison.second.image)
    return proof(images, names, comparison.verdict, comparison.explanation, heats=heat_maps)


def _write(folder: Path, facts: dict[str, Any], comparison: "ImageComparison", heat_maps: "list[Heat]") -> None:
    from lookalike.relate.words.report import write_report

    buffer = io.BytesIO()
    _figure(comparison, heat_maps).savefig(buffer, format="png")
    log(f"written: {write_report(folder, facts, buffer.getvalue())}")
