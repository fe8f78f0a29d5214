"""lookalike evaluate: measure a model on a ground truth, or one model against another."""

import json as jsonlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.options import JsonOption, RayOption, task_pool
from lookalike.cli.output import ProgressLine, log, print_json, print_row
from lookalike.cli.usage_errors import checked_by, one_of, usage_error_for
from lookalike.errors import BadQuery, LookalikeError

if TYPE_CHECKING:
    from lookalike.evaluate import Report

_MAX_SKIPPED = 5


def _parse_ks(text: str) -> tuple[int, ...]:
    """Return the values of k. Raises BadQuery."""
    try:
        ks = tuple(int(part) for part in text.split(","))
    except ValueError:
        ks = ()
    if not ks or min(ks) < 1:
        raise BadQuery(f"{text!r} is not understood; give whole numbers from 1, such as 1,5,10")
    return ks


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model's name or folder, or hub:owner/name.")],
    truth: Annotated[
        Path,
        typer.Argument(
            metavar="TRUTH",
            help="A table of path,label,role or path,label,part or a,b,same; or a folder with one folder per label.",
        ),
    ],
    against: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A second model; tests whether the difference is more than chance."),
    ] = None,
    by: Annotated[str | None, typer.Option(metavar="COLUMN", help="Break figures down by a column of TRUTH.")] = None,
    k: Annotated[
        str,
        typer.Option(
            "-k", "--k", metavar="K,K...", callback=checked_by(_parse_ks), help="For recall@k and precision@k."
        ),
    ] = "1,5,10",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Write report, figures, mistakes; cache vectors for the next run."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of the bootstrap and of k-means.")] = 0,
    together: Annotated[
        str,
        typer.Option(
            metavar="query|label",
            callback=one_of("query", "label"),
            help="What the bootstrap draws: single queries, or all queries of a label at once.",
        ),
    ] = "query",
    root: Annotated[
        Path | None,
        typer.Option("--root", metavar="FOLDER", help="Where the images of a table are now, if they were moved."),
    ] = None,
    ray: RayOption = None,
    json: JsonOption = False,
) -> None:
    """Print how well MODEL finds the right answers of TRUTH, each figure with its 95% interval."""
    from lookalike.evaluate import EvaluationSettings, read_truth
    from lookalike.evaluate import evaluate as run
    from lookalike.evaluate.run import check_column

    settings = EvaluationSettings(
        ks=_parse_ks(k), by=by, keep=output / "vectors" if output else None, seed=seed, together=together
    )
    table = read_truth(truth, root=root)
    with usage_error_for("--by", LookalikeError):
        if by:
            check_column(table, by)
    with task_pool(ray) as tasks, ProgressLine("images") as progress:
        report = run(model, table, against=against, settings=settings, progress=progress, tasks=tasks)
    _report_skipped(report)
    if json:
        print_json(report.to_json())
    else:
        _print(report)
    if report.warning:
        log(f"warning: {report.warning}")
    if output:
        _write(report, output)


def _report_skipped(report: "Report") -> None:
    for failure in report.skipped[:_MAX_SKIPPED]:
        log(f"skipped {failure.path}: {failure.reason}")
    if len(report.skipped) > _MAX_SKIPPED:
        log(f"... and {len(report.skipped) - _MAX_SKIPPED:,} more; list all with -o DIR or --json")


def _print(report: "Report") -> None:
    from lookalike.evaluate.report import align_columns

    for line in align_columns(report.table()):
        print_row(line)
    if report.column:
        print_row("")
        for line in align_columns(report.by_table()):
            print_row(line)
    log(f"{report.truth}: {report.basis()}")


def _write(report: "Report", folder: Path) -> None:
    from lookalike.plot import evaluation, mistakes, save

    texts = {
        "report.json": jsonlib.dumps(report.to_json(), ensure_ascii=False, indent=1),
        "report.md": report.markdown(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise LookalikeError(
            f"{folder} cannot be written to ({os.strerror(error.errno or 0)}); choose another folder with -o"
        ) from None
    log(f"written: {', '.join(str(folder / name) for name in texts)}")
    log(f"drawn: {save(evaluation(report), folder / 'figures.png')}")
    if report.mistakes:
        log(f"drawn: {save(mistakes(report.mistakes), folder / 'mistakes.png')}")
