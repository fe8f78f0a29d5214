"""lookalike label: read labels, and spread them to the other images with calibrated confidence."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.options import CollectionOption, JsonOption
from lookalike.cli.output import log, print_json, print_row
from lookalike.cli.output_files import check_output_files
from lookalike.cli.usage_errors import usage_error_for
from lookalike.errors import BadQuery
from lookalike.text import counted, examples_text

if TYPE_CHECKING:
    from lookalike.cluster import ParsedLabels, PropagatedLabels
    from lookalike.search import Collection


def label(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[LABELS.csv]", help="Columns: label, and id, path or cluster (such as 64/12)."),
    ] = None,
    folders: Annotated[
        bool, typer.Option("--folders", help="Use the name of each image's folder as its label.")
    ] = False,
    spread: Annotated[
        bool, typer.Option("--spread", help="Label the other images by their labeled neighbors, or as unsure.")
    ] = False,
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Confidence below which an image is unsure.")
    ] = 0.9,
    suspects: Annotated[bool, typer.Option("--suspects", help="List labels that their neighbors contradict.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write the spread labels as .csv or .parquet instead of printing them.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw the reliability diagram of the confidence."),
    ] = None,
    collection: CollectionOption = None,
    json: JsonOption = False,
) -> None:
    """Read labels from a file or from folders; with --spread, print a label or "unsure" for every image."""
    from lookalike.cluster import known_labels
    from lookalike.search import open_collection

    _check(output, plot, spread=spread, suspects=suspects)
    with open_collection(collection, create=False) as photos:
        _read(photos, file, folders=folders)
        known = known_labels(photos)
        if not known:
            raise BadQuery(
                f"{photos.uri} has no label yet; add some: lookalike label labels.csv, or lookalike label --folders"
            )
        if spread or suspects or plot:
            print_labels = spread or not suspects
            _spread(
                photos, known, min_confidence, output, plot, print_labels=print_labels, suspects=suspects, as_json=json
            )
        else:
            count, names = len(photos), len(set(known.values()))
            log(
                f"{len(known):,} of {counted(count, 'image')} are labeled, with {counted(names, 'label')}; "
                "label the rest with --spread"
            )


def _check(output: Path | None, plot: Path | None, *, spread: bool, suspects: bool) -> None:
    """Raise an error for options or outputs that cannot work, before anything is saved."""
    from lookalike.cluster import check_table_path

    if output and not spread:
        raise typer.BadParameter("only --spread has labels to write; add --spread", param_hint="-o")
    if spread and suspects and not output:
        raise typer.BadParameter(
            "--spread and --suspects both print; write the spread labels to a file with -o FILE, or use one of the two"
        )
    with usage_error_for("-o"):
        if output:
            check_table_path(output)
    check_output_files(output, plot)


def _read(photos: "Collection", file: Path | None, *, folders: bool) -> None:
    from lookalike.cluster import ParsedLabels, folder_labels, read_labels, save_labels

    parsed = read_labels(photos, file) if file else None
    if folders:
        save_labels(photos, ParsedLabels(labels=folder_labels(photos)))
    if file and parsed:
        save_labels(photos, parsed)
        _report_parsed(parsed, file)


def _report_parsed(parsed: "ParsedLabels", file: Path) -> None:
    log(f"{counted(len(parsed.labels), 'label')} read from {file}")
    if parsed.unknown:
        verb = "matches" if len(parsed.unknown) == 1 else "match"
        count = counted(len(parsed.unknown), "line")
        log(f"{count} {verb} no image of the collection: {examples_text(parsed.unknown)}")
    if parsed.twice:
        ids = f"{counted(len(parsed.twice), 'id')} labeled differently by several lines"
        log(f"{ids}, the last line counts: {examples_text(parsed.twice)}")


def _spread(
    photos: "Collection",
    known: dict[str, str],
    min_confidence: float,
    output: Path | None,
    plot: Path | None,
    *,
    print_labels: bool,
    suspects: bool,
    as_json: bool,
) -> None:
    import numpy as np

    from lookalike.cluster import propagate_labels, read_vectors, save_propagated, save_suspects

    ids, vectors = read_vectors(photos)
    rows = np.array([row for row, name in enumerate(ids) if name in known], np.int64)
    labels = [known[ids[row]] for row in rows]
    result = propagate_labels(vectors, rows, labels, min_confidence=min_confidence)
    if plot:
        _draw(result, plot)
    if print_labels:
        _print(ids, result, output, as_json=as_json)
        propagated = zip(ids, result.labels, result.confidence, strict=True)
        save_propagated(photos, {name: (str(label), float(value)) for name, label, value in propagated})
        save_suspects(photos, ids, result.suspects)
    if suspects:
        _print_suspects(ids, result, as_json=as_json)
    _report(result, len(rows), len(ids), min_confidence)


def _draw(result: "PropagatedLabels", plot: Path) -> None:
    from lookalike.plot import reliability, save

    c = result.calibration
    curves = {"labels, each predicted without itself": (c.confidence, c.right)}
    figure = reliability(curves, noun="images", truth="share labeled right", title="Reliability of the confidence")
    log(f"drawn: {save(figure, plot)}")


def _print(ids: list[str], result: "PropagatedLabels", output: Path | None, *, as_json: bool) -> None:
    names = [str(name) or "unsure" for name in result.labels]
    confidence = [round(value, 4) for value in result.confidence.tolist()]
    if output:
        from lookalike.cluster import write_columns

        guess, nearest = result.guess.tolist(), [round(value, 4) for value in result.nearest.tolist()]
        columns = {"id": ids, "label": names, "confidence": confidence, "guess": guess, "nearest": nearest}
        log(f"written: {write_columns(columns, output)}")
        return
    for image_id, name, value in zip(ids, names, confidence, strict=True):
        if as_json:
            print_json({"id": image_id, "label": None if name == "unsure" else name, "confidence": value})
        else:
            print_row(f"{name}  {value:.3f}  {image_id}")


def _print_suspects(ids: list[str], result: "PropagatedLabels", *, as_json: bool) -> None:
    for s in result.suspects:
        near = [{"id": ids[row], "label": str(result.guess[row]), "score": round(score, 4)}
                for row, score in zip(s.neighbors, s.scores, strict=True)]  # fmt: skip
        if as_json:
            print_json(
                {
                    "id": ids[s.row],
                    "label": s.label,
                    "instead": s.instead,
                    "confidence": round(s.confidence, 4),
                    "neighbours": near,
                }
            )
        else:
            print_row(f"{ids[s.row]}  is labeled {s.label}, its neighbors {s.instead} ({s.confidence:.2f}):")
            for n in near:
                print_row(f"    {n['score']:.3f}  {n['label']}  {n['id']}")


def _report(result: "PropagatedLabels", labeled: int, count: int, min_confidence: float) -> None:
    named = int(result.sure.sum()) - labeled
    c = result.calibration
    log(
        f"{counted(labeled, 'label')}; of the other {count - labeled:,} images {named:,} got a label and "
        f"{count - labeled - named:,} are unsure (confidence below {min_confidence:g}, or far from every labeled image)"
    )
    log(
        f"each labeled image predicted without itself: {c.right.mean():.0%} right at a mean confidence of "
        f"{c.confidence.mean():.0%}, expected calibration error {c.error:.3f} over {len(c.right):,}"
    )
    if result.suspects:
        verb = "contradicts its" if len(result.suspects) == 1 else "contradict their"
        log(f"{counted(len(result.suspects), 'label')} {verb} neighbors; see: lookalike label --suspects")
