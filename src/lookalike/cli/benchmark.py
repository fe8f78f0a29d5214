"""lookalike benchmark: measure how well models find edited copies of your own images."""

import json as jsonlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.options import JsonOption, RayOption, task_pool
from lookalike.cli.output import ProgressLine, log, print_json, print_row
from lookalike.cli.usage_errors import checked_by
from lookalike.errors import BadQuery, LookalikeError
from lookalike.text import percent

if TYPE_CHECKING:
    from lookalike.evaluate import BenchmarkResult, ModelBenchmark

_MAX_SKIPPED = 5


def _edits(text: str) -> tuple[str, ...]:
    """Return the names of edits in a list. Raises BadQuery."""
    from lookalike.image import get_edit

    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise BadQuery(f"{text!r} names no edit; leave it out for all of them")
    for name in names:
        get_edit(name)
    return names


def benchmark(
    photos: Annotated[
        list[str], typer.Argument(metavar="PHOTOS...", help="Images, folders, globs, manifests or archives.")
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="A model's name or folder, or hub:owner/name; repeat it to compare."),
    ] = None,
    edits: Annotated[
        str | None,
        typer.Option(metavar="EDIT,EDIT...", callback=checked_by(_edits), help="Only these edits. Default: all."),
    ] = None,
    sample: Annotated[int, typer.Option(metavar="N", min=3, help="Number of images to edit.")] = 200,
    gallery: Annotated[int, typer.Option(metavar="N", min=3, help="Largest number of images to search.")] = 2000,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of the sample and the edits.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Write benchmark.json and the chart."),
    ] = None,
    ray: RayOption = None,
    json: JsonOption = False,
) -> None:
    """Edit a sample of PHOTOS, print how many originals each model finds, recommend a model and a --min-score."""
    from lookalike.embed import DEFAULT_MODEL
    from lookalike.evaluate import BenchmarkPlan
    from lookalike.evaluate import benchmark as run
    from lookalike.image import EDITS

    names = tuple(EDITS) if edits is None else _edits(edits)
    plan = BenchmarkPlan(edits=names, sample=sample, gallery=gallery, seed=seed)
    with task_pool(ray) as tasks, ProgressLine("images") as progress:
        result = run(photos, model or [DEFAULT_MODEL], plan=plan, progress=progress, tasks=tasks)
    for failure in result.skipped[:_MAX_SKIPPED]:
        log(f"skipped {failure.path}: {failure.reason}")
    if len(result.skipped) > _MAX_SKIPPED:
        log(f"... and {len(result.skipped) - _MAX_SKIPPED:,} more; list all with -o DIR or --json")
    if json:
        print_json(result.to_json())
    else:
        _print(result)
    _recommend(result)
    if output:
        _write(result, output)


def _print(result: "BenchmarkResult") -> None:
    from lookalike.evaluate.report import align_columns

    for model in result.models:
        print_row(model.model)
        for line in align_columns(_rows(model)):
            print_row(line)


def _rows(model: "ModelBenchmark") -> list[list[str]]:
    strengths = sorted({strength for _, strength in model.cells})
    rows = [["edit", *(f"R@1 at {strength:g}" for strength in strengths), "µAP"]]
    for edit, together in model.edits.items():
        cells = (model.cells[edit, strength].recall for strength in strengths)
        rows.append([edit, *(f"{cell:.3f}" for cell in cells), f"{together.micro_ap:.3f}"])
    overall = [
        "all",
        *[""] * (len(strengths) - 1),
        f"{model.overall['recall@1']:.3f}",
        f"{model.overall['micro-AP']:.3f}",
    ]
    return [*rows, overall]


def _recommend(result: "BenchmarkResult") -> None:
    best = result.best
    log(
        f"edited copies of {result.sources:,} images searched for among {result.gallery:,} images; "
        f"the originals of {result.held_out:,} were withheld, {result.twins:,} near-identical images left out"
    )
    if result.lead:
        verdict = "more than chance" if result.lead.more_than_chance else "within chance"
        log(
            f"best: {best.model}, µAP {result.lead.difference:+.3f} over {result.models[1].model} "
            f"({result.lead.low:+.3f} to {result.lead.high:+.3f}: {verdict})"
        )
    if best.min_score is None:
        log(f"no minimum score makes {percent(best.precision)} of the results right; rely on the ranking instead")
    else:
        log(
            f"recommended: --model {best.model} --min-score {best.min_score:.3f}  "
            f"({percent(best.precision)} of the results are right, {percent(best.recall)} of the copies are found)"
        )


def _write(result: "BenchmarkResult", folder: Path) -> None:
    from lookalike.plot import copies, save

    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = jsonlib.dumps(result.to_json(), ensure_ascii=False, indent=1)
        (folder / "benchmark.json").write_text(text, encoding="utf-8")
    except OSError as error:
        raise LookalikeError(
            f"{folder} cannot be written to ({os.strerror(error.errno or 0)}); choose another folder with -o"
        ) from None
    log(f"written: {folder / 'benchmark.json'}")
    log(f"drawn: {save(copies(result), folder / 'benchmark.png')}")
