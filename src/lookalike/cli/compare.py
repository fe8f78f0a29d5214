"""lookalike compare: what two pictures are to each other, how sure that is, and why."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from lookalike.cli.options import JsonOption
from lookalike.cli.output import log, print_json, print_row

if TYPE_CHECKING:
    from lookalike.plot import Heat
    from lookalike.relate.compare import Comparison
    from lookalike.relate.probability.calibration_model import Calibration
    from lookalike.types import Embedder

_MAPPED = 0.1  # of either picture
ModelOption = Annotated[
    Optional[str],  # noqa: UP045 - typer reads it at run time on Python 3.11
    typer.Option("--model", metavar="NAME", help="Without a collection: the model, by name or folder."),
]
CalibratedBy = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--collection", "-c", metavar="PATH_OR_URI", help="Use this collection's model and calibration."),
]


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="The first picture: the original, if one is.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The second picture.")],
    plot: Annotated[Optional[Path], typer.Option(metavar="FILE.png", help="Draw the proof.")] = None,  # noqa: UP045
    report: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="DIR", help="Write report.html, report.json and proof.png."),
    ] = None,
    collection: CalibratedBy = None,
    model: ModelOption = None,
    json: JsonOption = False,
) -> None:
    """Print what two pictures are to each other (identical, copy, same-object, related, unrelated), and why."""
    from lookalike.relate.compare import compare as compare_files
    from lookalike.relate.words.report import report_facts

    embedder, calibration, folder = calibrated(collection, model)
    compared = compare_files(str(first), str(second), embedder, calibration)
    heats = _heats(compared, folder) if plot or report else []
    facts = report_facts(compared, embedder.card, calibration, heat="; ".join(heat.source for heat in heats))
    if json:
        print_json(facts)
    else:
        _tell(compared)
    if plot:
        from lookalike.plot import save

        log(f"drawn: {save(_figure(compared, heats), plot)}")
    if report:
        _write(report, facts, compared, heats)


def calibrated(collection: str | None, model: str | None) -> "tuple[Embedder, Calibration, Path | None]":
    """The embedder, what its scores mean, and the folder it was loaded from where there is one."""
    from lookalike.embed import DEFAULT_MODEL, get_embedder
    from lookalike.embed.registry import model_location
    from lookalike.errors import UnknownModel
    from lookalike.relate import calibration_of, of_card

    name = model or DEFAULT_MODEL
    if collection is not None:
        from lookalike.cli.options import open_to_read

        with open_to_read(collection) as photos:
            embedder, calibration, name = photos.embedder, calibration_of(photos), photos.model
    else:
        embedder = get_embedder(name)
        calibration = of_card(embedder.card)
    try:
        return embedder, calibration, model_location(name)
    except UnknownModel:  # a model from a hub: no heat map of its own
        return embedder, calibration, None


def _tell(compared: "Comparison") -> None:
    verdict = compared.verdict
    print_row(compared.explanation.words)
    numbers = [] if verdict.relation < 0 else [f"probability {100 * verdict.probability:.1f} %"]
    if verdict.evidence.score is not None:
        numbers.append(f"score {verdict.evidence.score:.3f}")
    if verdict.expected_false_matches is not None and verdict.relation < 4:
        numbers.append(f"an unrelated picture scores so high once in {_once_in(verdict.expected_false_matches)}")
    print_row("; ".join(numbers))


def _once_in(chance: float) -> str:
    if chance >= 0.5:
        return "two, or more often"
    return "over a million" if chance < 1e-6 else f"{round(1 / chance, 1 - len(str(round(1 / chance)))):,.0f}"


def _heats(compared: "Comparison", folder: Path | None) -> "list[Heat]":
    """The pictures' own agreement and the network's; nothing where one was not laid over the other."""
    from lookalike.plot import Heat
    from lookalike.relate.content.similarity_map import network_map

    match, agreeing = compared.verdict.evidence.match, compared.explanation.agreeing
    if match is None or agreeing is None:
        return []
    heats = [Heat(agreeing, "what agrees: pixels, one laid over the other")]
    # A small part in the other would be one cell of the network's map, or none.
    whole = folder is not None and min(match.kept_first, match.kept_second) >= _MAPPED
    seen = network_map(compared.first.picture, compared.second.picture, match, folder) if folder and whole else None
    if seen is not None:
        heats.append(Heat(seen, "what agrees: the network's last feature map"))
    return heats


def _figure(compared: "Comparison", heats: "list[Heat]") -> Any:
    from lookalike.plot import proof

    names = (compared.first.subject.name, compared.second.subject.name)
    pictures = (compared.first.picture, compared.second.picture)
    return proof(pictures, names, compared.verdict, compared.explanation, heats=heats)


def _write(folder: Path, facts: dict[str, Any], compared: "Comparison", heats: "list[Heat]") -> None:
    from lookalike.relate.words.report import write_report

    buffer = io.BytesIO()
    _figure(compared, heats).savefig(buffer, format="png")
    log(f"written: {write_report(folder, facts, buffer.getvalue())}")
