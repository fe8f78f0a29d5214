"""lookalike label: read labels, and spread them to the other images with calibrated confidence."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.options import CollectionOption, JsonOption, open_to_read
from lookalike.cli.output import log, print_json, print_row
from lookalike.cli.output_files import FIGURE, TABLE, check_output_files
from lookalike.cli.usage_errors import checked_by
from lookalike.deprecation import with_old_keys
from lookalike.text import counted, examples_text, percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lookalike.cluster import LabelCounts, NamedImages, ParsedLabels, PropagatedLabels, Propagation


def _names(text: str) -> None:
    from lookalike.cluster.zero_shot import check_names

    check_names(text.split(","))


def _template(text: str) -> None:
    from lookalike.cluster.zero_shot import check_templates

    check_templates([text])


def label(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[LABELS.csv]", help="Columns: label, and id, path or cluster (such as 64/12)."),
    ] = None,
    folders: Annotated[
        bool, typer.Option("--folders", help="Label images by the names of their folders; labels given before stay.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace labels given before by those of folders and clusters.")
    ] = False,
    spread: Annotated[
        bool, typer.Option("--spread", help="Label the other images by their labeled neighbors, or as unsure.")
    ] = False,
    min_confidence: Annotated[
        float, typer.Option(metavar="P", min=0, max=1, help="Confidence below which an image is unsure.")
    ] = 0.9,
    names: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            callback=checked_by(_names),
            help='Name all images by words alone: "dog, cat, neither"; needs a model that reads words.',
        ),
    ] = None,
    template: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PROMPT",
            callback=checked_by(_template),
            help="With --names: a prompt with a pair of braces where the name goes; may be repeated.",
        ),
    ] = None,
    suspects: Annotated[bool, typer.Option("--suspects", help="List labels that their neighbors contradict.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            callback=TABLE,
            help="Write the labels of --spread or --names as .csv or .parquet instead of printing them.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", callback=FIGURE, help="Draw the reliability diagram of the confidence."),
    ] = None,
    collection: CollectionOption = None,
    json: JsonOption = False,
) -> None:
    """Read labels from a file or from folders; with --spread or --names, print a label or "unsure" for every image."""
    from lookalike.cluster import count_labels, label_collection, propagate, save_propagation
    from lookalike.search import open_collection

    if overwrite and not (folders or file):
        raise typer.BadParameter("it needs labels; add --folders or LABELS.csv", param_hint="--overwrite")
    if names is not None or template:
        others = {"LABELS.csv": file, "--folders": folders, "--spread": spread, "--suspects": suspects, "--plot": plot}
        _check_names(names, others)
        check_output_files(output)
        _name(collection, names or "", template or [], min_confidence, output=output, as_json=json)
        return
    _check(output, plot, spread=spread, suspects=suspects)
    with open_collection(collection, create=False) as photos:
        parsed = label_collection(photos, file, folders=folders, overwrite=overwrite)
        if file:
            _report_parsed(parsed, file)
        _report_changes(parsed)
        if not (spread or suspects or plot):
            _report_counts(count_labels(photos))
            return
        propagation = propagate(photos, min_confidence=min_confidence)
        if plot:
            _draw(propagation.result, plot)
        if spread or not suspects:
            _print(propagation, output, as_json=json)
            save_propagation(photos, propagation)
    if suspects:
        _print_suspects(propagation, as_json=json)
    _report(propagation, min_confidence)


def _check_names(names: str | None, others: "Mapping[str, object]") -> None:
    """Raise a usage error for options that do not go with --names."""
    if names is None:
        raise typer.BadParameter("it goes with --names", param_hint="--template")
    if excluded := next((name for name, value in others.items() if value), None):
        raise typer.BadParameter(f"it does not combine with {excluded}; run one after the other", param_hint="--names")


def _name(
    collection: str | None, names: str, templates: "Sequence[str]", least: float, *, output: Path | None, as_json: bool
) -> None:
    """Name all images by words, and print the labels and what their confidence is worth."""
    from lookalike.cluster import name_images
    from lookalike.cluster.zero_shot import TEMPLATES

    with open_to_read(collection) as photos:
        named = name_images(photos, names.split(","), templates=templates or TEMPLATES, min_confidence=least)
    _print(named, output, as_json=as_json)
    _report_names(named)


def _report_names(named: "NamedImages") -> None:
    count, sure = len(named.ids), len(named.ids) - named.unsure
    log(
        f"{counted(count, 'image')}: {named.named:,} named, {sure - named.named:,} none of these, "
        f"{named.unsure:,} unsure (confidence below {named.min_confidence:g})"
    )
    if (check := named.check) is None:
        log(
            "the confidence is the model's own and not calibrated: label at least 20 images with these names "
            "(lookalike label LABELS.csv) and run it again"
        )
        return
    log(
        f"check: {percent(check.right)} of {counted(check.images, 'labeled image')} are named right, at a mean "
        f"confidence of {percent(check.confidence)} (expected calibration error {check.error:.3f})"
    )


def _check(output: Path | None, plot: Path | None, *, spread: bool, suspects: bool) -> None:
    """Raise an error for options or outputs that cannot work, before anything is saved."""
    if output and not spread:
        raise typer.BadParameter("only --spread and --names have labels to write; add one", param_hint="-o")
    if spread and suspects and not output:
        raise typer.BadParameter(
            "--spread and --suspects both print; write the spread labels to a file with -o FILE, or use one of the two"
        )
    check_output_files(output, plot)


def _report_parsed(parsed: "ParsedLabels", file: Path) -> None:
    log(f"{counted(len(parsed.labels), 'label')} read from {file}")
    if parsed.undecided:
        log(f"{counted(parsed.undecided, 'image')} of the table have none: they are unsure, or none of the names fits")
    if parsed.unknown:
        verb = "matches" if len(parsed.unknown) == 1 else "match"
        count = counted(len(parsed.unknown), "line")
        log(f"{count} {verb} no image of the collection: {examples_text(parsed.unknown)}")
    if parsed.twice:
        ids = f"{counted(len(parsed.twice), 'id')} with several different labels"
        log(f"{ids}; the last line counts: {examples_text(parsed.twice)}")


def _report_changes(parsed: "ParsedLabels") -> None:
    """Print how many labels given before were replaced, and how many were not."""
    if parsed.retained:
        verb = "was" if len(parsed.retained) == 1 else "were"
        count = counted(len(parsed.retained), "label")
        log(f"{count} given before {verb} kept ({examples_text(parsed.retained)}); replace with --overwrite")
    if parsed.replaced:
        verb = "was" if len(parsed.replaced) == 1 else "were"
        log(f"{counted(len(parsed.replaced), 'label')} given before {verb} replaced: {examples_text(parsed.replaced)}")


def _report_counts(counts: "LabelCounts") -> None:
    labels = counted(counts.labels, "label")
    log(
        f"{counts.labeled:,} of {counted(counts.images, 'image')} are labeled, with {labels}; "
        "label the rest with --spread"
    )


def _draw(result: "PropagatedLabels", plot: Path) -> None:
    from lookalike.plot import reliability, save

    c = result.calibration
    curves = {"known labels, each predicted from the others": (c.confidence, c.right)}
    figure = reliability(curves, noun="images", truth="share labeled right", title="Reliability of the confidence")
    log(f"drawn: {save(figure, plot)}")


def _print(labels: "Propagation | NamedImages", output: Path | None, *, as_json: bool) -> None:
    from lookalike.cluster.propagation import UNSURE

    columns = labels.columns()
    if output:
        from lookalike.cluster import write_columns

        log(f"written: {write_columns(columns, output)}")
        return
    for image_id, name, value in zip(columns["id"], columns["label"], columns["confidence"], strict=True):
        if as_json:
            print_json({"id": image_id, "label": None if name == UNSURE else name, "confidence": value})
        else:
            print_row(f"{name}  {value:.3f}  {image_id}")


def _print_suspects(propagation: "Propagation", *, as_json: bool) -> None:
    ids, result = propagation.ids, propagation.result
    for s in result.suspects:
        near = [{"id": ids[row], "label": str(result.guess[row]), "score": round(score, 4)}
                for row, score in zip(s.neighbors, s.scores, strict=True)]  # fmt: skip
        if as_json:
            facts = {"id": ids[s.row], "label": s.label, "instead": s.instead, "confidence": round(s.confidence, 4)}
            print_json(with_old_keys(facts | {"neighbors": near}))
        else:
            instead = f"{s.instead} (confidence {s.confidence:.2f})"
            print_row(f"{ids[s.row]}  is labeled {s.label}, but its neighbors suggest {instead}:")
            for n in near:
                print_row(f"    {n['score']:.3f}  {n['label']}  {n['id']}")


def _report(propagation: "Propagation", min_confidence: float) -> None:
    result, labeled = propagation.result, len(propagation.labeled)
    c = result.calibration
    log(
        f"{counted(labeled, 'labeled image')}; of the other {len(propagation.ids) - labeled:,} images, "
        f"{propagation.named:,} got a label and {propagation.unsure:,} remain unsure "
        f"(confidence below {min_confidence:g}, or far from every labeled image)"
    )
    log(
        f"check: predicted from the others, {percent(float(c.right.mean()))} of {len(c.right):,} known labels are "
        f"right, at a mean confidence of {percent(float(c.confidence.mean()))} "
        f"(expected calibration error {c.error:.3f})"
    )
    if result.suspects:
        verb = "contradicts its" if len(result.suspects) == 1 else "contradict their"
        log(f"{counted(len(result.suspects), 'label')} {verb} neighbors; see: lookalike label --suspects")
