"""Groups of pictures: duplicates and what to do with them; clusters, labels that spread, outliers, a map."""

from lookalike.cluster.auto import Choice, choose_levels
from lookalike.cluster.colourings import PALETTE, colourings
from lookalike.cluster.cover import Cover, cover
from lookalike.cluster.duplicates import (
    Action,
    Applied,
    Chosen,
    Decision,
    Decisions,
    Duplicates,
    Keep,
    KeepChoice,
    Left,
    Options,
    Undone,
    accepted_groups,
    apply_steps,
    as_decision,
    as_keep_choice,
    find_duplicates,
    parse_action,
    plan_steps,
    undo,
)
from lookalike.cluster.grouping import METHODS, Cluster, Clusters, cluster
from lookalike.cluster.joining import Drift, drift, join_new
from lookalike.cluster.kept import NoClusters, current, keep_clusters, load_clusters, name_clusters
from lookalike.cluster.kmeans import KMeans, kmeans
from lookalike.cluster.labels import (
    Given,
    folder_labels,
    give_labels,
    keep_labels,
    keep_spread,
    known_labels,
    label_table,
    read_labels,
)
from lookalike.cluster.layout import layout, load_map, make_map
from lookalike.cluster.outliers import Outliers, outliers
from lookalike.cluster.spread import Calibration, Spread, Suspect, spread
from lookalike.cluster.tables import check_ending, write_clusters, write_columns
from lookalike.cluster.tree import check_tree, write_tree
from lookalike.cluster.vectors import read_vectors

__all__ = [
    "METHODS",
    "PALETTE",
    "Action",
    "Applied",
    "Calibration",
    "Choice",
    "Chosen",
    "Cluster",
    "Clusters",
    "Cover",
    "Decision",
    "Decisions",
    "Drift",
    "Duplicates",
    "Given",
    "KMeans",
    "Keep",
    "KeepChoice",
    "Left",
    "NoClusters",
    "Options",
    "Outliers",
    "Spread",
    "Suspect",
    "Undone",
    "accepted_groups",
    "apply_steps",
    "as_decision",
    "as_keep_choice",
    "check_ending",
    "check_tree",
    "choose_levels",
    "cluster",
    "colourings",
    "cover",
    "current",
    "drift",
    "find_duplicates",
    "folder_labels",
    "give_labels",
    "join_new",
    "keep_clusters",
    "keep_labels",
    "keep_spread",
    "kmeans",
    "known_labels",
    "label_table",
    "layout",
    "load_clusters",
    "load_map",
    "make_map",
    "name_clusters",
    "outliers",
    "parse_action",
    "plan_steps",
    "read_labels",
    "read_vectors",
    "spread",
    "undo",
    "write_clusters",
    "write_columns",
    "write_tree",
]
