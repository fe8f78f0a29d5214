"""lookalike cluster: cluster the collection at one or several levels; write a table, a page and contact sheets."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.options import CollectionOption, JsonOption, RayOption, open_to_read, task_pool
from lookalike.cli.output import log, print_json, print_row
from lookalike.cli.output_files import check_output_files
from lookalike.cli.usage_errors import checked_by, one_of
from lookalike.errors import BadQuery
from lookalike.text import counted

if TYPE_CHECKING:
    from lookalike.cluster import Cluster, Clusters
    from lookalike.search import Collection

_SAME = 1 - 1e-5  # a score this close to 1 means the same vector, up to rounding
_OUTPUTS = ("clusters.csv", "clusters.parquet", "levels.png")


def _parse_levels(text: str) -> "str | tuple[int, ...]":
    """Return "auto" or the numbers of clusters. Raises BadQuery."""
    if text == "auto":
        return text
    try:
        levels = tuple(int(part) for part in text.split(","))
    except ValueError:
        levels = ()
    if not levels or min(levels) < 1:
        raise BadQuery(f"{text!r} is not understood; give whole numbers from 1, such as 8,64,512, or auto")
    return levels


def cluster(
    levels: Annotated[
        str,
        typer.Option(
            metavar="N,N,...|auto",
            callback=checked_by(_parse_levels),
            help="Number of clusters at each level; auto chooses them by stability.",
        ),
    ] = "auto",
    method: Annotated[
        str,
        typer.Option(
            metavar="kmeans|density",
            callback=one_of("kmeans", "density"),
            help="kmeans, or density (HDBSCAN: any number of clusters, some images in none).",
        ),
    ] = "kmeans",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FOLDER", help="Write a table, a page, and a contact sheet per level."),
    ] = None,
    table: Annotated[
        str, typer.Option(metavar="csv|parquet", callback=one_of("csv", "parquet"), help="Format of the table.")
    ] = "csv",
    tree: Annotated[
        str | None,
        typer.Option(
            metavar="links|copies",
            callback=one_of("links", "copies"),
            help="Also write nested folders with links to the files, or copies.",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Number of k-means starts to choose from.")] = 3,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="The same seed gives the same clusters.")] = 0,
    status: Annotated[bool, typer.Option("--status", help="Only print how well the saved clusters still fit.")] = False,
    ray: RayOption = None,
    collection: CollectionOption = None,
    json: JsonOption = False,
) -> None:
    """Group images without labels, save the clusters in the collection, and print them, largest first."""
    from lookalike.cluster import cluster as group
    from lookalike.cluster import known_labels, save_clusters
    from lookalike.search import open_collection

    requested = _parse_levels(levels)
    if tree and output is None:
        raise typer.BadParameter("it needs an output folder; name one with -o FOLDER", param_hint="--tree")
    if ray and (status or method == "density"):
        raise typer.BadParameter("only k-means runs on a cluster; leave it out", param_hint="--ray")
    if status:
        _status(collection, as_json=json)
        return
    if output:
        _check(output, tree)
    with open_collection(collection, create=False) as photos:
        labels = known_labels(photos)
        with task_pool(ray) as tasks:
            clusters = group(
                photos,
                requested,  # type: ignore[arg-type]
                method=method,
                labels=labels,
                seeds=seeds,
                seed=seed,
                tasks=tasks,
            )
        save_clusters(photos, clusters)
        _explain_fewer(requested, clusters)
        if output:
            _write(photos, clusters, output, table, tree)
        _print(clusters, labels, as_json=json)


def _status(collection: str | None, *, as_json: bool) -> None:
    from dataclasses import asdict

    from lookalike.cluster import current_run, drift

    with open_to_read(collection) as photos:
        result = drift(photos)
        run = current_run(photos) or {}
        if as_json:
            print_json({"method": run["method"], "levels": run["counts"], "at": run["at"]} | asdict(result))
        else:
            print_row(f"{run['method']}, levels {', '.join(map(str, run['counts']))}: {result}")


def _print(clusters: "Clusters", labels: dict[str, str], *, as_json: bool) -> None:
    for described in clusters.clusters:
        for c in sorted(described, key=lambda c: -c.size):
            if as_json:
                print_json(_cluster_json(c))
            else:
                print_row(f"{c.key:>9}  {c.size:>8,}  {c.tightness:.3f}  {c.name}".rstrip())
    noise = int((clusters.levels[-1].assignments < 0).sum())
    levels = f"level{'s' * (len(clusters.counts) > 1)} {', '.join(map(str, clusters.counts))}"
    log(f"{counted(len(clusters.ids), 'image')} at {levels}" + (f", {noise:,} in none" * bool(noise)))
    if noise == len(clusters.ids):
        log("no group of images is denser than the rest, or there are too few images; try --method kmeans")
    if clusters.choice:
        log("levels chosen because two halves of the images are clustered alike there; -o DIR also draws the curve")
    _compare_with_labels(clusters, labels)


def _explain_fewer(requested: "str | tuple[int, ...]", clusters: "Clusters") -> None:
    """Print why there are fewer clusters than requested, or only one."""
    count = clusters.counts[-1]
    same = count == 1 and len(clusters.ids) > 1 and float(clusters.scores.min()) > _SAME
    if clusters.method == "kmeans" and same:
        log(f"the model cannot tell the {len(clusters.ids):,} images apart, so there is one cluster")
    elif clusters.method == "kmeans" and requested != "auto" and count < max(map(int, requested)):
        log(f"there are only {count:,} different images, so there cannot be more clusters")


def _cluster_json(c: "Cluster") -> dict[str, object]:
    return {
        "cluster": c.key,
        "parent": c.parent,
        "size": c.size,
        "tightness": round(c.tightness, 6),
        "name": c.name,
        "medoids": list(c.medoids),
    }


def _compare_with_labels(clusters: "Clusters", labels: dict[str, str]) -> None:
    """Print how the clusters agree with the labels, if there are two or more."""
    from lookalike.evaluate.metrics import adjusted_rand, mutual_information, purity

    rows = [row for row, name in enumerate(clusters.ids) if labels.get(name)]
    if len({labels[clusters.ids[row]] for row in rows}) < 2:
        return
    truth = [labels[clusters.ids[row]] for row in rows]
    for count, level in zip(clusters.counts, clusters.levels, strict=True):
        assigned = level.assignments[rows]
        log(
            f"level {count}: NMI {mutual_information(assigned, truth):.3f}, ARI {adjusted_rand(assigned, truth):.3f}, "
            f"purity {purity(assigned, truth):.3f} against {len(rows):,} labels"
        )


def _check(folder: Path, tree: str | None) -> None:
    """Raise LookalikeError if the output cannot be written, before minutes of clustering."""
    from lookalike.cluster import check_tree

    check_output_files(folder / "clusters.html")
    if tree:
        check_tree(folder / "tree")


def _clear(folder: Path) -> None:
    """Remove the files of an earlier run, which could be mistaken for those of this one."""
    for file in (*folder.glob("level-*.png"), *(folder / name for name in _OUTPUTS)):
        if file.name in _OUTPUTS or file.stem.removeprefix("level-").isdigit():
            file.unlink(missing_ok=True)


def _write(photos: "Collection", clusters: "Clusters", folder: Path, table: str, tree: str | None) -> None:
    from lookalike.cluster import write_clusters, write_tree
    from lookalike.plot import cluster_page, contact_sheet, level_curve, save

    _clear(folder)
    log(f"written: {write_clusters(clusters, folder / f'clusters.{table}')}")
    log(f"written: {cluster_page(photos, clusters, folder / 'clusters.html')}")
    for index, count in enumerate(clusters.counts):
        if count:
            log(f"drawn: {save(contact_sheet(photos, clusters, index), folder / f'level-{count}.png')}")
    if clusters.choice and len(clusters.choice.curve) > 1:
        log(f"drawn: {save(level_curve(clusters.choice), folder / 'levels.png')}")
    if tree:
        written, missing = write_tree(photos, clusters, folder / "tree", copies=tree == "copies")
        left_out = f"; {missing:,} without an accessible file" * bool(missing)
        log(f"written: {folder / 'tree'}, {counted(written, 'image')}{left_out}")
