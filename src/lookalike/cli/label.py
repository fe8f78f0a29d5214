"""lookalike label: take labels in, and spread them to the rest with honest doubt."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from lookalike.cli.options import CollectionOption, JsonOption
from lookalike.cli.output import log, print_json, print_row
from lookalike.cli.output_files import check_output_files
from lookalike.cli.usage_errors import usage_error_for
from lookalike.errors import BadQuery
from lookalike.text import counted

if TYPE_CHECKING:
    from lookalike.cluster import Given, Spread
    from lookalike.search import Collection

_TOLD = 3


def label(
    file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(metavar="[LABELS.csv]", help="Columns: label, and id, path or cluster (such as 64/12)."),
    ] = None,
    folders: Annotated[
        bool, typer.Option("--folders", help="Take the name of each picture's folder as its label.")
    ] = False,
    spread: Annotated[
        bool, typer.Option("--spread", help="Name the rest by their labelled neighbours, or call them unsure.")
    ] = False,
    min_confidence: Annotated[float, typer.Option(min=0, max=1, help="Below it a picture is unsure.")] = 0.9,
    suspects: Annotated[bool, typer.Option("--suspects", help="List labels that their neighbours contradict.")] = False,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "-o", "--output", metavar="FILE", help="The spread labels as .csv or .parquet, instead of stdout."
        ),
    ] = None,
    plot: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE.png", help="Draw whether the stated confidence is true."),
    ] = None,
    collection: CollectionOption = None,
    json: JsonOption = False,
) -> None:
    """Take labels from a file or from folders; with --spread, print a label or "unsure" for every picture."""
    from lookalike.cluster import known_labels
    from lookalike.search import open_collection

    _check(output, plot, spread=spread, suspects=suspects)
    with open_collection(collection, create=False) as photos:
        _take(photos, file, folders=folders)
        known = known_labels(photos)
        if not known:
            raise BadQuery(
                f"{photos.uri} has no label yet; give some: lookalike label labels.csv, or lookalike label --folders"
            )
        if spread or suspects or plot:
            named = spread or not suspects
            _spread(photos, known, min_confidence, output, plot, named=named, suspects=suspects, as_json=json)
        else:
            count, names = len(photos), len(set(known.values()))
            log(
                f"{len(known):,} of {counted(count, 'picture')} are labelled, with {counted(names, 'label')}; "
                "name the rest with --spread"
            )


def _check(output: Path | None, plot: Path | None, *, spread: bool, suspects: bool) -> None:
    """What cannot be done is said before anything is kept."""
    from lookalike.cluster import check_ending

    if output and not spread:
        raise typer.BadParameter("it is for the labels that --spread finds; add --spread", param_hint="-o")
    if spread and suspects and not output:
        raise typer.BadParameter(
            "--spread and --suspects both print; give the spread labels a file with -o FILE, or ask for one of the two"
        )
    with usage_error_for("-o"):
        if output:
            check_ending(output)
    check_output_files(output, plot)


def _take(photos: "Collection", file: Path | None, *, folders: bool) -> None:
    from lookalike.cluster import Given, folder_labels, keep_labels, read_labels

    given = read_labels(photos, file) if file else None
    if folders:
        keep_labels(photos, Given(labels=folder_labels(photos)))
    if file and given:
        keep_labels(photos, given)
        _tell(given, file)


def _tell(given: "Given", file: Path) -> None:
    log(f"{counted(len(given.labels), 'label')} taken from {file}")
    if given.unknown:
        verb = "names" if len(given.unknown) == 1 else "name"
        log(f"{counted(len(given.unknown), 'line')} {verb} no picture of the collection: {_some(given.unknown)}")
    if given.twice:
        told = f"{counted(len(given.twice), 'label')} given before by another line"
        log(f"{told}, the last is taken: {_some(given.twice)}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:_TOLD]) + (", ..." if len(names) > _TOLD else "")


def _spread(
    photos: "Collection",
    known: dict[str, str],
    min_confidence: float,
    output: Path | None,
    plot: Path | None,
    *,
    named: bool,
    suspects: bool,
    as_json: bool,
) -> None:
    import numpy as np

    from lookalike.cluster import keep_spread, read_vectors
    from lookalike.cluster import spread as run
    from lookalike.cluster.suspects import keep_suspects

    ids, vectors = read_vectors(photos)
    rows = np.array([row for row, name in enumerate(ids) if name in known], np.int64)
    found = run(vectors, rows, [known[ids[row]] for row in rows], min_confidence=min_confidence)
    if plot:
        _draw(found, plot)
    if named:
        _print(ids, found, output, as_json=as_json)
        keep_spread(
            photos, {n: (str(c), float(p)) for n, c, p in zip(ids, found.labels, found.confidence, strict=True)}
        )
        keep_suspects(photos, ids, found.suspects)
    if suspects:
        _print_suspects(ids, found, as_json=as_json)
    _report(found, len(rows), len(ids), min_confidence)


def _draw(found: "Spread", plot: Path) -> None:
    from lookalike.plot import reliability, save

    c = found.calibration
    curves = {"labels, each judged without itself": (c.confidence, c.right)}
    figure = reliability(curves, noun="pictures", truth="share named right", title="What a stated confidence is worth")
    log(f"drawn: {save(figure, plot)}")


def _print(ids: list[str], found: "Spread", output: Path | None, *, as_json: bool) -> None:
    names = [str(name) or "unsure" for name in found.labels]
    confidence = [round(value, 4) for value in found.confidence.tolist()]
    if output:
        from lookalike.cluster import write_columns

        guess, nearest = found.guess.tolist(), [round(value, 4) for value in found.nearest.tolist()]
        columns = {"id": ids, "label": names, "confidence": confidence, "guess": guess, "nearest": nearest}
        log(f"written: {write_columns(columns, output)}")
        return
    for image_id, name, value in zip(ids, names, confidence, strict=True):
        if as_json:
            print_json({"id": image_id, "label": None if name == "unsure" else name, "confidence": value})
        else:
            print_row(f"{name}  {value:.3f}  {image_id}")


def _print_suspects(ids: list[str], found: "Spread", *, as_json: bool) -> None:
    for s in found.suspects:
        near = [{"id": ids[row], "label": str(found.guess[row]), "score": round(score, 4)}
                for row, score in zip(s.neighbours, s.scores, strict=True)]  # fmt: skip
        if as_json:
            print_json(
                {
                    "id": ids[s.row],
                    "label": s.given,
                    "instead": s.instead,
                    "confidence": round(s.confidence, 4),
                    "neighbours": near,
                }
            )
        else:
            print_row(f"{ids[s.row]}  is called {s.given}, its neighbours say {s.instead} ({s.confidence:.2f}):")
            for n in near:
                print_row(f"    {n['score']:.3f}  {n['label']}  {n['id']}")


def _report(found: "Spread", labelled: int, count: int, min_confidence: float) -> None:
    answered = int(found.sure.sum()) - labelled
    c = found.calibration
    log(
        f"{counted(labelled, 'label')}; of the other {count - labelled:,} pictures {answered:,} are named and "
        f"{count - labelled - answered:,} unsure (confidence below {min_confidence:g}, or nothing near has a label)"
    )
    log(
        f"each labelled picture judged without itself: {c.right.mean():.0%} right at a mean confidence of "
        f"{c.confidence.mean():.0%}, expected calibration error {c.error:.3f} over {len(c.right):,}"
    )
    if found.suspects:
        verb = "looks" if len(found.suspects) == 1 else "look"
        told = f"{counted(len(found.suspects), 'label')} {verb} wrong to their neighbours"
        log(f"{told}; see: lookalike label --suspects")
