"""Groups of pictures: duplicates and what to do with them; clusters, labels that spread, outliers, a map."""

from lookalike.cluster.choose_k import Choice, choose_levels
from lookalike.cluster.export import check_ending, write_clusters, write_columns
from lookalike.cluster.folder_export import check_tree, write_tree
from lookalike.cluster.grouping import METHODS, Cluster, Clusters, cluster
from lookalike.cluster.incremental import Drift, drift, join_new
from lookalike.cluster.k_center import Cover, cover
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
from lookalike.cluster.map_colors import PALETTE, colourings
from lookalike.cluster.outliers import Outliers, outliers
from lookalike.cluster.spread import Calibration, Spread, Suspect, spread
from lookalike.cluster.storage import NoClusters, current, keep_clusters, load_clusters, name_clusters
from lookalike.cluster.vectors import read_vectors

__all__ = [
    "METHODS",
    "PALETTE",
    "Calibration",
    "Choice",
    "Cluster",
    "Clusters",
    "Cover",
    "Drift",
    "Given",
    "KMeans",
    "NoClusters",
    "Outliers",
    "Spread",
    "Suspect",
    "check_ending",
    "check_tree",
    "choose_levels",
    "cluster",
    "colourings",
    "cover",
    "current",
    "drift",
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
    "read_labels",
    "read_vectors",
    "spread",
    "write_clusters",
    "write_columns",
    "write_tree",
]
