"""Clusters of a collection, label propagation, outliers, representatives, and a 2-D map."""

from typing import TYPE_CHECKING

from lookalike.cluster.choose_k import LevelChoice, choose_levels
from lookalike.cluster.export import check_table_path, check_tree, write_clusters, write_columns, write_tree
from lookalike.cluster.grouping import METHODS, Cluster, Clusters, cluster
from lookalike.cluster.incremental import Drift, drift, join_new
from lookalike.cluster.k_center import Cover, cover
from lookalike.cluster.kmeans import KMeans, kmeans
from lookalike.cluster.labels import (
    LabelCounts,
    NoLabels,
    ParsedLabels,
    Propagation,
    confirm_labels,
    count_labels,
    folder_labels,
    known_labels,
    label_cluster,
    label_collection,
    label_table,
    propagate,
    propagated_labels,
    read_labels,
    save_labels,
    save_propagated,
    save_propagation,
    save_suspects,
    saved_suspects,
    set_labels,
)
from lookalike.cluster.layout import PALETTE, colorings, layout, load_map, make_map
from lookalike.cluster.neighbors import read_vectors
from lookalike.cluster.outliers import Outliers, outliers
from lookalike.cluster.propagation import PropagatedLabels, Suspect, VoteCalibration, propagate_labels
from lookalike.cluster.storage import NoClusters, current_run, load_clusters, name_clusters, save_clusters
from lookalike.deprecation import renamed

__all__ = [
    "METHODS",
    "PALETTE",
    "Cluster",
    "Clusters",
    "Cover",
    "Drift",
    "KMeans",
    "LabelCounts",
    "LevelChoice",
    "NoClusters",
    "NoLabels",
    "Outliers",
    "ParsedLabels",
    "PropagatedLabels",
    "Propagation",
    "Suspect",
    "VoteCalibration",
    "check_table_path",
    "check_tree",
    "choose_levels",
    "cluster",
    "colorings",
    "confirm_labels",
    "count_labels",
    "cover",
    "current_run",
    "drift",
    "folder_labels",
    "join_new",
    "kmeans",
    "known_labels",
    "label_cluster",
    "label_collection",
    "label_table",
    "layout",
    "load_clusters",
    "load_map",
    "make_map",
    "name_clusters",
    "outliers",
    "propagate",
    "propagate_labels",
    "propagated_labels",
    "read_labels",
    "read_vectors",
    "save_clusters",
    "save_labels",
    "save_propagated",
    "save_propagation",
    "save_suspects",
    "saved_suspects",
    "set_labels",
    "write_clusters",
    "write_columns",
    "write_tree",
]

if not TYPE_CHECKING:
    __getattr__ = renamed(
        __name__,
        {
            "Action": "lookalike.duplicates:Action",
            "Applied": "lookalike.duplicates:ApplyResult",
            "Calibration": "VoteCalibration",
            "Choice": "LevelChoice",
            "Chosen": "lookalike.duplicates:KeepChoices",
            "Decision": "lookalike.duplicates:Decision",
            "Decisions": "lookalike.duplicates:Decisions",
            "Duplicates": "lookalike.duplicates:Duplicates",
            "Given": "ParsedLabels",
            "Keep": "lookalike.duplicates:Keep",
            "KeepChoice": "lookalike.duplicates:KeepChoice",
            "Left": "lookalike.duplicates:SkippedFile",
            "Options": "lookalike.duplicates:Options",
            "Spread": "PropagatedLabels",
            "Undone": "lookalike.duplicates:UndoResult",
            "accepted_groups": "lookalike.duplicates:accepted_groups",
            "apply_steps": "lookalike.duplicates:apply_steps",
            "as_decision": "lookalike.duplicates:as_decision",
            "as_keep_choice": "lookalike.duplicates:as_keep_choice",
            "check_ending": "check_table_path",
            "colourings": "colorings",
            "current": "current_run",
            "find_duplicates": "lookalike.duplicates:find_duplicates",
            "give_labels": "set_labels",
            "keep_clusters": "save_clusters",
            "keep_labels": "save_labels",
            "keep_spread": "save_propagated",
            "parse_action": "lookalike.duplicates:parse_action",
            "plan_steps": "lookalike.duplicates:plan_steps",
            "spread": "propagate_labels",
            "undo": "lookalike.duplicates:undo",
        },
    )
