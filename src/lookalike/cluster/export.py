"""Clusters as a table for other programs: id, the cluster at each level, the score to the centre of the finest."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lookalike.cluster.grouping import Clusters
from lookalike.errors import BadQuery, LookalikeError


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


def check_ending(path: str | Path) -> None:
    """Raise BadQuery where the name says that the table should be something else than CSV or Parquet."""
    if Path(path).suffix.lower() not in (".csv", ".parquet"):
        raise BadQuery(f"{path} does not end in .csv or .parquet, the two kinds of table there are; name one of them")


def write_columns(columns: Mapping[str, Sequence[Any]], path: str | Path) -> Path:
    """Columns of equal length as .csv or .parquet. Raises BadQuery for another ending, LookalikeError."""
    check_ending(path)
    target = Path(path).expanduser()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix.lower() == ".parquet":
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
