"""Clusters as a table for other programs: id, the cluster at each level, the score to the centre of the finest."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lookalike.cluster.grouping import Clusters
from lookalike.errors import LookalikeError


def write_clusters(clusters: Clusters, path: str | Path) -> Path:
    """A .csv or .parquet file, one row a picture: id, level_8, level_64 ..., score, name."""
    columns: dict[str, Sequence[Any]] = {"id": clusters.ids}
    for count, level in zip(clusters.counts, clusters.levels, strict=True):
        columns[f"level_{count}"] = level.assignments.tolist()
    columns["score"] = [round(score, 6) for score in clusters.scores.tolist()]
    columns["name"] = names_of(clusters)
    return write_columns(columns, path)


def names_of(clusters: Clusters) -> list[str]:
    """By picture: the name of its finest cluster that has one, or ""."""
    names = [""] * len(clusters.ids)
    for level, described in zip(clusters.levels, clusters.clusters, strict=True):
        for row, number in enumerate(level.assignments.tolist()):
            if number >= 0 and described[number].name:
                names[row] = described[number].name
    return names


def write_columns(columns: Mapping[str, Sequence[Any]], path: str | Path) -> Path:
    """Columns of equal length as CSV, or as Parquet where the name ends in .parquet. Raises LookalikeError."""
    target = Path(path).expanduser()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), target)
        else:
            with target.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(columns)
                writer.writerows(zip(*columns.values(), strict=True))
    except OSError as error:
        raise LookalikeError(f"{target} cannot be written ({error.strerror}); name a file you may write to") from error
    return target
