"""lookalike split: training, validation and test parts without near-copies across them."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.options import CollectionOption, JsonOption, open_to_read
from lookalike.cli.output import ProgressLine, log, print_json
from lookalike.cli.output_files import TABLE
from lookalike.cli.usage_errors import one_of, usage_error_for
from lookalike.errors import BadQuery, NoCollection
from lookalike.text import counted

if TYPE_CHECKING:
    from lookalike.search import Collection
    from lookalike.train.split import SplitReport


def split(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE]...",
            help="A folder (one folder a label), folders (each a label), or .csv and .parquet manifests. "
            "None: the images of -c.",
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", callback=TABLE, help="The file to write: .csv or .parquet."),
    ] = Path("split.csv"),
    test: Annotated[float, typer.Option(metavar="SHARE", min=0, max=1, help="The share of images to test on.")] = 0.2,
    val: Annotated[
        float, typer.Option(metavar="SHARE", min=0, max=1, help="The share to validate on while training.")
    ] = 0.02,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="The same images and seed give the same split.")] = 0,
    unseen: Annotated[
        bool,
        typer.Option("--unseen", help="Split by label, so that the test part has labels that training never sees."),
    ] = False,
    min_score: Annotated[
        float,
        typer.Option(
            metavar="S", min=0, max=1.01, help="From this score up, images are near-copies and stay together."
        ),
    ] = 0.95,
    labels: Annotated[
        str,
        typer.Option(
            metavar="auto|folder|none",
            callback=one_of("auto", "folder", "none"),
            help="auto: the manifest's label, else the folder's name; folder; or none.",
        ),
    ] = "auto",
    collection: CollectionOption = None,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The model that finds near-copies; a name or a folder.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
    json: JsonOption = False,
) -> None:
    """Write a table of path, label and part (train, val, test). Near-copies always share a part."""
    from lookalike.train.split import SplitOptions, check_options, make_split
    from lookalike.train.split_file import check_writable, write_split

    options = SplitOptions(test=test, val=val, seed=seed, unseen=unseen, min_score=min_score, labels=labels)
    with usage_error_for(None):
        check_options(options)
    check_writable(output, replace=overwrite)
    with _open(sources, collection, model) as photos:
        parts, report = make_split(photos, options)
    write_split(parts, output, replace=overwrite)
    if json:
        print_json(asdict(report) | {"file": str(output)})
    _report(report, output, labels)


def _open(sources: list[str] | None, collection: str | None, model: str | None) -> "Collection":
    """The collection, or a temporary one in memory made from the sources."""
    from lookalike.indexing.pipeline import default_workers
    from lookalike.indexing.sync import SyncOptions
    from lookalike.search import Collection

    if not sources:
        try:
            return open_to_read(collection)
        except NoCollection as error:
            if collection is not None:
                raise
            raise BadQuery(f"nothing to split: name a folder, or a collection with -c ({error})") from None
    if collection is not None:
        raise typer.BadParameter("both a folder and a collection are named; split one of them")
    photos = Collection.open("memory:", model=model)
    with ProgressLine("images") as progress:
        report = photos.sync(sources, options=SyncOptions(workers=default_workers(), progress=progress))
    for failure in report.failed[:5]:
        log(f"skipped {failure.path}: {failure.reason}")
    if len(report.failed) > 5:
        log(f"… {len(report.failed):,} images skipped in all")
    return photos


def _report(report: "SplitReport", output: Path, labels: str) -> None:
    counts = ", ".join(f"{count:,} {name}" for name, count in report.counts.items())
    log(f"{counts}; {counted(report.labels, 'label')}" + (f", {report.single:,} with one image" * bool(report.single)))
    if not report.labels and labels != "none":
        log(
            "no image has a label: put the images of each label into a folder of its name and split the parent folder, "
            "or use a manifest with a column label; train similarity --from edits needs no labels"
        )
    if report.groups:
        log(
            f"{report.grouped:,} images in {counted(report.groups, 'group')} of near-copies were kept together; "
            f"otherwise {counted(report.leak, 'image')} of validation and test would have a near-copy in another part"
        )
    if not report.counts["val"]:
        log("there are no validation images, and training needs some; use a larger --val")
    log(f"written: {output}")
