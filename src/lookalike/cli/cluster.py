"""lookalike cluster: group the collection at one or several levels, and write what there is to see."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from lookalike.cli.options import CollectionOption, JsonOption, open_to_read
from lookalike.cli.output import log, print_json, print_row
from lookalike.cli.output_files import check_output_files
from lookalike.cli.usage_errors import check_choice
from lookalike.text import counted

if TYPE_CHECKING:
    from lookalike.cluster import Cluster, Clusters
    from lookalike.search import Collection

_SAME = 1 - 1e-5  # a score so near to 1 is of the same vector, rounded
_OURS = ("clusters.csv", "clusters.parquet", "levels.png")


def cluster(
    levels: Annotated[
        str, typer.Option(metavar="N,N,...|auto", help="How many clusters at each level; auto asks the pictures.")
    ] = "auto",
    method: Annotated[
        str, typer.Option(help="kmeans, or density (HDBSCAN: any number, some pictures in none).")
    ] = "kmeans",
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("-o", "--output", metavar="FOLDER", help="Write a table, a page, and a contact sheet a level."),
    ] = None,
    table: Annotated[str, typer.Option(help="The table as csv or parquet.")] = "csv",
    tree: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="links|copies", help="Also a tree of folders with links to the files, or copies."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Starts to choose from.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same clusters.")] = 0,
    status: Annotated[bool, typer.Option("--status", help="Only tell how well the clusters kept still fit.")] = False,
    collection: CollectionOption = None,
    json: JsonOption = False,
) -> None:
    """Group pictures without labels, keep the groups in the collection, and print them, the largest first."""
    from lookalike.cluster import METHODS, keep_clusters, known_labels
    from lookalike.cluster import cluster as group
    from lookalike.search import open_collection

    wanted = _levels(levels)
    check_choice("--method", method, METHODS)
    check_choice("--table", table, ("csv", "parquet"))
    check_choice("--tree", tree or "links", ("links", "copies"))
    if tree and output is None:
        raise typer.BadParameter("it needs a folder to stand in; name one with -o FOLDER", param_hint="--tree")
    if status:
        _status(collection, as_json=json)
        return
    if output:
        _check(output, tree)
    with open_collection(collection, create=False) as photos:
        labels = known_labels(photos)
        found = group(photos, wanted, method=method, labels=labels, seeds=seeds, seed=seed)  # type: ignore[arg-type]
        keep_clusters(photos, found)
        _tell_fewer(wanted, found)
        if output:
            _write(photos, found, output, table, tree)
        _print(found, labels, as_json=json)


def _levels(text: str) -> "str | tuple[int, ...]":
    if text == "auto":
        return text
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not understood; give numbers such as 8,64,512, or auto", param_hint="--levels"
        ) from None


def _status(collection: str | None, *, as_json: bool) -> None:
    from dataclasses import asdict

    from lookalike.cluster import current, drift

    with open_to_read(collection) as photos:
        told = drift(photos)
        kept = current(photos) or {}
        if as_json:
            print_json({"method": kept["method"], "levels": kept["counts"], "at": kept["at"]} | asdict(told))
        else:
            print_row(f"{kept['method']}, levels {', '.join(map(str, kept['counts']))}: {told}")


def _print(found: "Clusters", labels: dict[str, str], *, as_json: bool) -> None:
    for described in found.clusters:
        for c in sorted(described, key=lambda c: -c.size):
            print_json(_facts(c)) if as_json else print_row(
                f"{c.key:>9}  {c.size:>8,}  {c.tightness:.3f}  {c.name}".rstrip()
            )
    noise = int((found.levels[-1].assignments < 0).sum())
    levels = f"level{'s' * (len(found.counts) > 1)} {', '.join(map(str, found.counts))}"
    log(f"{counted(len(found.ids), 'picture')} at {levels}" + (f", {noise:,} in none" * bool(noise)))
    if noise == len(found.ids):
        log("no part of the pictures is denser than the rest, or all are too few; try --method kmeans")
    if found.choice:
        log("levels were chosen by how well two halves of the pictures agree; with -o their curve is drawn")
    _judge(found, labels)


def _tell_fewer(wanted: "str | tuple[int, ...]", found: "Clusters") -> None:
    """Why there are not as many clusters as a person would expect."""
    count = found.counts[-1]
    same = count == 1 and len(found.ids) > 1 and float(found.scores.min()) > _SAME
    if found.method == "kmeans" and same:
        log(f"all {len(found.ids):,} pictures look the same to the model, so that there is one cluster")
    elif found.method == "kmeans" and wanted != "auto" and count < max(map(int, wanted)):
        log(f"there are only {count:,} different pictures, fewer than clusters were asked for")


def _facts(c: "Cluster") -> dict[str, object]:
    return {
        "cluster": c.key,
        "parent": c.parent,
        "size": c.size,
        "tightness": round(c.tightness, 6),
        "name": c.name,
        "medoids": list(c.medoids),
    }


def _judge(found: "Clusters", labels: dict[str, str]) -> None:
    """How the clusters agree with labels, where there are some."""
    from lookalike.evaluate.metrics import adjusted_rand, mutual_information, purity

    rows = [row for row, name in enumerate(found.ids) if labels.get(name)]
    if len({labels[found.ids[row]] for row in rows}) < 2:
        return
    truth = [labels[found.ids[row]] for row in rows]
    for count, level in zip(found.counts, found.levels, strict=True):
        given = level.assignments[rows]
        log(
            f"level {count}: NMI {mutual_information(given, truth):.3f}, ARI {adjusted_rand(given, truth):.3f}, "
            f"purity {purity(given, truth):.3f} against {len(rows):,} labels"
        )


def _check(folder: Path, tree: str | None) -> None:
    """What cannot be written is said before minutes of grouping."""
    from lookalike.cluster import check_tree

    check_output_files(folder / "clusters.html")
    if tree:
        check_tree(folder / "tree")


def _clear(folder: Path) -> None:
    """What an earlier run drew would pass for this one's."""
    for file in (*folder.glob("level-*.png"), *(folder / name for name in _OURS)):
        if file.name in _OURS or file.stem.removeprefix("level-").isdigit():
            file.unlink(missing_ok=True)


def _write(photos: "Collection", found: "Clusters", folder: Path, table: str, tree: str | None) -> None:
    from lookalike.cluster import write_clusters, write_tree
    from lookalike.plot import cluster_page, contact_sheet, level_curve, save

    _clear(folder)
    log(f"written: {write_clusters(found, folder / f'clusters.{table}')}")
    log(f"written: {cluster_page(photos, found, folder / 'clusters.html')}")
    for place, count in enumerate(found.counts):
        if count:
            log(f"drawn: {save(contact_sheet(photos, found, place), folder / f'level-{count}.png')}")
    if found.choice and len(found.choice.curve) > 1:
        log(f"drawn: {save(level_curve(found.choice), folder / 'levels.png')}")
    if tree:
        done, missing = write_tree(photos, found, folder / "tree", copies=tree == "copies")
        left_out = f"; {missing:,} without a file at hand" * bool(missing)
        log(f"written: {folder / 'tree'}, {counted(done, 'picture')}{left_out}")
