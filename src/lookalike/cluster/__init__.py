"""Clusters of a collection, label propagation, outliers, representatives, and a 2-D map."""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lookalike.cluster.choose_k import LevelChoice, choose_levels
from lookalike.cluster.export import check_table_path, check_tree, write_clusters, write_columns, write_tree
from lookalike.cluster.grouping import METHODS, Cluster, Clusters, cluster
from lookalike.cluster.incremental import Drift, drift, join_new
from lookalike.cluster.k_center import Cover, cover
from lookalike.cluster.kmeans import KMeans, kmeans
from lookalike.cluster.labels import (
    ParsedLabels,
    folder_labels,
    known_labels,
    label_table,
    read_labels,
    save_labels,
    save_propagated,
    save_suspects,
    set_labels,
)
from lookalike.cluster.layout import PALETTE, colorings, layout, load_map, make_map
from lookalike.cluster.neighbors import read_vectors
from lookalike.cluster.outliers import Outliers, outliers
from lookalike.cluster.propagation import PropagatedLabels, Suspect, VoteCalibration, propagate_labels
from lookalike.cluster.storage import NoClusters, current_run, load_clusters, name_clusters, save_clusters

__all__ = [
    "METHODS",
    "PALETTE",
    "Cluster",
    "Clusters",
    "Cover",
    "Drift",
    "KMeans",
    "LevelChoice",
    "NoClusters",
    "Outliers",
    "ParsedLabels",
    "PropagatedLabels",
    "Suspect",
    "VoteCalibration",
    "check_table_path",
    "check_tree",
    "choose_levels",
    "cluster",
    "colorings",
    "cover",
    "current_run",
    "drift",
    "folder_labels",
    "join_new",
    "kmeans",
    "known_labels",
    "label_table",
    "layout",
    "load_clusters",
    "load_map",
    "make_map",
    "name_clusters",
    "outliers",
    "propagate_labels",
    "read_labels",
    "read_vectors",
    "save_clusters",
    "save_labels",
    "save_propagated",
    "save_suspects",
    "set_labels",
    "write_clusters",
    "write_columns",
    "write_tree",
]

_RENAMED = {
    "Calibration": "VoteCalibration",
    "Choice": "LevelChoice",
    "Given": "ParsedLabels",
    "Spread": "PropagatedLabels",
    "check_ending": "check_table_path",
    "colourings": "colorings",
    "current": "current_run",
    "give_labels": "set_labels",
    "keep_clusters": "save_clusters",
    "keep_labels": "save_labels",
    "keep_spread": "save_propagated",
    "spread": "propagate_labels",
}
_MOVED_TO_DUPLICATES = {
    *("Action", "Applied", "Chosen", "Decision", "Decisions", "Duplicates", "Keep", "KeepChoice", "Left", "Options"),
    *("Undone", "accepted_groups", "apply_steps", "as_decision", "as_keep_choice", "find_duplicates", "parse_action"),
    *("plan_steps", "undo"),
}

if not TYPE_CHECKING:  # old names are for running code; a type checker reports them

    def __getattr__(name: str) -> Any:
        """Return what an old name stands for, with a DeprecationWarning."""
        if name in _RENAMED:
            new = _RENAMED[name]
            warnings.warn(f"lookalike.cluster.{name} is now lookalike.cluster.{new}", DeprecationWarning, stacklevel=2)
            return globals()[new]
        if name in _MOVED_TO_DUPLICATES:
            warnings.warn(f"lookalike.cluster.{name} is now in lookalike.duplicates", DeprecationWarning, stacklevel=2)
            return getattr(import_module("lookalike.duplicates"), name)  # by name: `duplicates` is beside this package
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
