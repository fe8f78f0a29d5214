"""lookalike label: take labels in, and spread them to the rest with honest doubt."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from lookalike.cli.options import CollectionOption, JsonOption
from lookalike.cli.output import emit, put, say
from lookalike.errors import BadQuery

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

    with open_collection(collection, create=False) as photos:
        _take(photos, file, folders=folders)
        known = known_labels(photos)
        if not known:
            raise BadQuery(
                f"{photos.uri} has no label yet; give some: lookalike label labels.csv, or lookalike label --folders"
            )
        if spread or suspects or plot:
            _spread(photos, known, min_confidence, output if spread else None, plot, suspects=suspects, as_json=json)
        else:
            count, names = len(photos), len(set(known.values()))
            say(
                f"{len(known):,} of {count:,} pictures are labelled, with {names:,} labels; name the rest with --spread"
            )


def _take(photos: "Collection", file: Path | None, *, folders: bool) -> None:
    from lookalike.cluster import Given, folder_labels, keep_labels, read_labels

    if folders:
        keep_labels(photos, Given(labels=folder_labels(photos)))
    if file:
        given = read_labels(photos, file)
        keep_labels(photos, given)
        _tell(given, file)


def _tell(given: "Given", file: Path) -> None:
    say(f"{len(given.labels):,} labels taken from {file}")
    if given.unknown:
        more = ", ..." if len(given.unknown) > _TOLD else ""
        say(f"{len(given.unknown):,} lines name no picture of the collection: {', '.join(given.unknown[:_TOLD])}{more}")


def _spread(
    photos: "Collection",
    known: dict[str, str],
    min_confidence: float,
    output: Path | None,
    plot: Path | None,
    *,
    suspects: bool,
    as_json: bool,
) -> None:
    import numpy as np

    from lookalike.cluster import keep_spread, read_vectors
    from lookalike.cluster import spread as run

    ids, vectors = read_vectors(photos)
    rows = np.array([row for row, name in enumerate(ids) if name in known], np.int64)
    found = run(vectors, rows, [known[ids[row]] for row in rows], min_confidence=min_confidence)
    if suspects:
        _print_suspects(ids, found, as_json=as_json)
    else:
        keep_spread(
            photos, {n: (str(c), float(p)) for n, c, p in zip(ids, found.labels, found.confidence, strict=True)}
        )
        _print(ids, found, output, as_json=as_json)
    _report(found, len(rows), len(ids), min_confidence)
    if plot:
        from lookalike.plot import reliability, save

        c = found.calibration
        curves = {"labels, each judged without itself": (c.confidence, c.right)}
        figure = reliability(
            curves, noun="pictures", truth="share named right", title="What a stated confidence is worth"
        )
        say(f"drawn: {save(figure, plot)}")


def _print(ids: list[str], found: "Spread", output: Path | None, *, as_json: bool) -> None:
    names = [str(name) or "unsure" for name in found.labels]
    confidence = [round(value, 4) for value in found.confidence.tolist()]
    if output:
        from lookalike.cluster import write_columns

        guess, nearest = found.guess.tolist(), [round(value, 4) for value in found.nearest.tolist()]
        columns = {"id": ids, "label": names, "confidence": confidence, "guess": guess, "nearest": nearest}
        say(f"written: {write_columns(columns, output)}")
        return
    for image_id, name, value in zip(ids, names, confidence, strict=True):
        if as_json:
            emit({"id": image_id, "label": None if name == "unsure" else name, "confidence": value})
        else:
            put(f"{name}  {value:.3f}  {image_id}")


def _print_suspects(ids: list[str], found: "Spread", *, as_json: bool) -> None:
    for s in found.suspects:
        near = [{"id": ids[row], "label": str(found.guess[row]), "score": round(score, 4)}
                for row, score in zip(s.neighbours, s.scores, strict=True)]  # fmt: skip
        if as_json:
            emit(
                {
                    "id": ids[s.row],
                    "label": s.given,
                    "instead": s.instead,
                    "confidence": round(s.confidence, 4),
                    "neighbours": near,
                }
            )
        else:
            put(f"{ids[s.row]}  is called {s.given}, its neighbours say {s.instead} ({s.confidence:.2f}):")
            for n in near:
                put(f"    {n['score']:.3f}  {n['label']}  {n['id']}")


def _report(found: "Spread", labelled: int, count: int, min_confidence: float) -> None:
    answered = int(found.sure.sum()) - labelled
    c = found.calibration
    say(
        f"{labelled:,} labels; of the other {count - labelled:,} pictures {answered:,} are named and "
        f"{count - labelled - answered:,} unsure (confidence below {min_confidence:g}, or nothing near has a label)"
    )
    say(
        f"each labelled picture judged without itself: {c.right.mean():.0%} right at a mean confidence of "
        f"{c.confidence.mean():.0%}, expected calibration error {c.error:.3f} over {len(c.right):,}"
    )
    if found.suspects:
        say(f"{len(found.suspects):,} labels look wrong to their neighbours; see: lookalike label --suspects")
