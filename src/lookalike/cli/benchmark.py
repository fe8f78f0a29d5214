"""lookalike benchmark: how well a model finds edited copies of these very pictures."""

import json as jsonlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from lookalike.cli.options import JsonOption
from lookalike.cli.output import ProgressLine, log, print_json, print_row
from lookalike.cli.usage_errors import usage_error_for
from lookalike.errors import LookalikeError

if TYPE_CHECKING:
    from lookalike.evaluate import Copies, ModelCopies

_TOLD = 5


def benchmark(
    photos: Annotated[
        list[str], typer.Argument(metavar="PHOTOS...", help="Pictures, folders, globs, manifests or archives.")
    ],
    model: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="MODEL", help="A model's name or folder, or hub:owner/name; repeat it to compare."),
    ] = None,
    edits: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="EDIT,EDIT...", help="Only these edits. Default: all."),
    ] = None,
    sample: Annotated[int, typer.Option(min=3, help="How many pictures are edited.")] = 200,
    gallery: Annotated[int, typer.Option(min=3, help="How many pictures are searched, at most.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample and the edits.")] = 0,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", metavar="DIR", help="Write benchmark.json and the chart."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Edit a sample of PHOTOS, print how many originals each model finds, recommend a model and a --min-score."""
    from lookalike.embed import DEFAULT_MODEL
    from lookalike.evaluate import Plan
    from lookalike.evaluate import benchmark as run
    from lookalike.image import EDITS, get_edit

    names = tuple(part.strip() for part in edits.split(",") if part.strip()) if edits else tuple(EDITS)
    with usage_error_for("--edits"):
        for name in names:
            get_edit(name)
    plan = Plan(edits=names, sample=sample, gallery=gallery, seed=seed)
    with ProgressLine("pictures") as progress:
        found = run(photos, model or [DEFAULT_MODEL], plan=plan, progress=progress)
    for failure in found.skipped[:_TOLD]:
        log(f"skipped {failure.path}: {failure.reason}")
    if len(found.skipped) > _TOLD:
        log(f"... and {len(found.skipped) - _TOLD:,} more; all with -o DIR or --json")
    if json:
        print_json(found.to_json())
    else:
        _print(found)
    _recommend(found)
    if output:
        _write(found, output)


def _print(found: "Copies") -> None:
    from lookalike.evaluate.report import columns

    for model in found.models:
        print_row(model.model)
        for line in columns(_lines(model)):
            print_row(line)


def _lines(model: "ModelCopies") -> list[list[str]]:
    strengths = sorted({strength for _, strength in model.cells})
    lines = [["edit", *(f"R@1 at {strength:g}" for strength in strengths), "µAP"]]
    for edit, together in model.edits.items():
        cells = (model.cells[edit, strength].recall for strength in strengths)
        lines.append([edit, *(f"{cell:.3f}" for cell in cells), f"{together.micro_ap:.3f}"])
    overall = [
        "all",
        *[""] * (len(strengths) - 1),
        f"{model.overall['recall@1']:.3f}",
        f"{model.overall['micro-AP']:.3f}",
    ]
    return [*lines, overall]


def _recommend(found: "Copies") -> None:
    best = found.best
    log(
        f"{found.sources:,} pictures edited, {found.gallery:,} searched; {found.held_out:,} of the edited have no "
        f"original among them; {found.twins:,} look-alikes left out"
    )
    if found.lead:
        verdict = "more than chance" if found.lead.more_than_chance else "within chance"
        log(
            f"best: {best.model}, µAP {found.lead.difference:+.3f} over {found.models[1].model} "
            f"({found.lead.low:+.3f} to {found.lead.high:+.3f}: {verdict})"
        )
    if best.min_score is None:
        log(f"no score is safe: none has {best.precision:.0%} right answers above it; look at the ranking instead")
    else:
        log(
            f"use: --model {best.model} --min-score {best.min_score:.3f}  "
            f"({best.precision:.0%} of what is shown is right, {best.kept:.1%} of the copies are kept)"
        )


def _write(found: "Copies", folder: Path) -> None:
    from lookalike.plot import copies, save

    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = jsonlib.dumps(found.to_json(), ensure_ascii=False, indent=1)
        (folder / "benchmark.json").write_text(text, encoding="utf-8")
    except OSError as error:
        raise LookalikeError(
            f"{folder} cannot be written to ({os.strerror(error.errno or 0)}); choose another place with -o"
        ) from None
    log(f"written: {folder / 'benchmark.json'}")
    log(f"drawn: {save(copies(found), folder / 'benchmark.png')}")
