"""lookalike verify: decide for thousands of pairs whether they are the same image."""

import csv
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.compare import CalibrationCollection, ModelOption, load_calibrated
from lookalike.cli.options import JsonOption
from lookalike.cli.output import ProgressLine, log, print_json
from lookalike.cli.output_files import FIGURE
from lookalike.errors import BadQuery, LookalikeError
from lookalike.text import percent

if TYPE_CHECKING:
    from lookalike.relate import Verdict

_CHUNK = 512
_FILE_COLUMNS = ("first", "second", "a", "b", "left", "right", "file1", "file2", "path1", "path2", "image1", "image2")
_TRUTH_COLUMNS = ("same", "copy", "label")
_YES, _NO = ("1", "true", "yes", "same", "copy"), ("0", "false", "no", "different")
_COLUMNS = ("first", "second", "answer", "relation", "probability", "copy_probability", "score", "inliers", "reason")


def verify(
    pairs: Annotated[
        Path,
        typer.Argument(metavar="PAIRS.csv", help="Two columns of files; a third one named same (1/0) is the truth."),
    ],
    min_copy: Annotated[
        float, typer.Option("--min", metavar="P", min=0, max=1, help="Answer same from this P(copy) up.")
    ] = 0.75,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            callback=FIGURE,
            help="With a column same: draw the stated probability against the truth.",
        ),
    ] = None,
    collection: CalibrationCollection = None,
    model: ModelOption = None,
    json: JsonOption = False,
) -> None:
    """Print same, different or cannot-tell for each pair, as CSV: is one file a copy of the other?"""
    rows = list(_read(pairs))
    embedder, calibration, _ = load_calibrated(collection, model)
    from lookalike.relate.compare import verify_pairs

    answered: list[tuple[dict[str, Any], bool | None]] = []
    out = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n")
    if not json:
        out.writeheader()
    with ProgressLine("pairs") as progress:
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            paths = [(a, b) for a, b, _ in chunk]
            verdicts = verify_pairs(paths, embedder, calibration, workers=os.cpu_count() or 2)
            for (a, b, truth), verdict in zip(chunk, verdicts, strict=True):
                answer = _answer(a, b, verdict, min_copy)
                print_json(answer) if json else out.writerow(answer)
                answered.append((answer, truth))
            progress(start + len(chunk), len(rows))
    _summary(answered, plot)


def _answer(first: str, second: str, verdict: "Verdict | str", min_copy: float) -> dict[str, Any]:
    facts: dict[str, Any] = dict.fromkeys(_COLUMNS)
    facts |= {"first": first, "second": second}
    if isinstance(verdict, str):
        return facts | {"answer": "failed", "reason": verdict}
    from lookalike.relate.facts import verdict_facts

    same = "same" if verdict.copy >= min_copy else "different"
    facts["answer"] = "cannot-tell" if verdict.relation < 0 else same
    return facts | {name: value for name, value in verdict_facts(verdict).items() if name in _COLUMNS}


def _read(file: Path) -> Iterator[tuple[str, str, bool | None]]:
    """Yield pairs of files, relative to the list's folder, and their truth if a column states it."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            table = [row for row in csv.reader(lines) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise LookalikeError(f"{file} cannot be read ({reason}); give a CSV with two columns of files") from None
    if len(table[:1]) == 1 and len(table[0]) == 1 and (";" in table[0][0] or "\t" in table[0][0]):
        raise BadQuery(f"{file} separates its columns by semicolons or tabs; save it with commas")
    if not table or min(map(len, table)) < 2:
        raise BadQuery(f"{file} does not have two columns in every row; each row names two files")
    columns, labels, titled = _columns(table[0], file)
    for number, row in enumerate(table[titled:], 1 + titled):
        if len(row) <= max(columns):
            raise BadQuery(
                f"{file}, row {number} has {len(row)} columns, too few for two files; complete it or delete it"
            )
        truth = _truth(row[labels[0]], f"{file}, row {number}") if labels and len(row) > labels[0] else None
        first, second = (_relative_to(file, row[column]) for column in columns)
        yield first, second, truth


def _columns(top: list[str], file: Path) -> tuple[list[int], list[int], bool]:
    """Return the columns of the files, those of the truth, and whether the first row names them. Raises BadQuery."""
    titles = [title.strip().lower() for title in top]
    named = [n for n, title in enumerate(titles) if title in _FILE_COLUMNS]
    labels = [n for n, title in enumerate(titles) if title in _TRUTH_COLUMNS]
    if len(named) >= 2:
        return named[:2], labels, True
    # A file name has an extension, or the file exists.
    names_none = not any(os.path.splitext(name)[1] or os.path.exists(_relative_to(file, name)) for name in top[:2])
    if named or labels or names_none:
        raise BadQuery(
            f"{file} begins with {', '.join(top)}, which does not name the two columns of files; "
            "name these columns first and second"
        )
    return [0, 1], [], False


def _relative_to(file: Path, name: str) -> str:
    """Return a file of the list, relative to the list's folder."""
    return name if os.path.isabs(name) else str(file.parent / name)


def _truth(text: str, where: str) -> bool | None:
    known = text.strip().lower()
    if known in _YES or known in _NO:
        return known in _YES
    if not known:
        return None
    raise BadQuery(f"{where}: {text!r} is neither same nor different; write 1 or 0")


def _summary(answered: list[tuple[dict[str, Any], bool | None]], plot: Path | None) -> None:
    kinds = ("same", "different", "cannot-tell", "failed")
    counts = {kind: sum(answer["answer"] == kind for answer, _ in answered) for kind in kinds}
    log(", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count))
    checked = [(a, truth) for a, truth in answered if truth is not None and a["answer"] in ("same", "different")]
    if checked:
        import numpy as np

        from lookalike.relate.probability.calibration_fit import calibration_error

        stated = np.array([a["copy_probability"] for a, _ in checked])
        truth = np.array([truth for _, truth in checked])
        right = float(np.mean([(a["answer"] == "same") == known for a, known in checked]))
        log(f"{percent(right)} of {len(checked):,} right; calibration error {calibration_error(stated, truth):.3f}")
        if plot:
            from lookalike.plot import reliability, save

            log(f"drawn: {save(reliability({'P(copy)': (stated, truth)}), plot)}")
    if answered and counts["failed"] == len(answered):
        raise LookalikeError("no pair could be used; the reasons are in the last column")
