"""How well a model does: metrics over vectors and labels, ground truth, intervals, reports. Without torch.

from lookalike.evaluate import retrieval

found = retrieval(queries, gallery, query_labels, gallery_labels)
found["recall@1"], found["mAP"], found["micro-AP"], found.queries
"""

from lookalike.evaluate.copies import Copies, ModelCopies, Plan, benchmark
from lookalike.evaluate.metrics import Tally
from lookalike.evaluate.ranking import PerQuery
from lookalike.evaluate.report import Judged, Mistake, Report
from lookalike.evaluate.retrieval import Retrieval, retrieval
from lookalike.evaluate.run import TOGETHER, Settings, evaluate
from lookalike.evaluate.truth import Truth, read_truth

__all__ = [
    "TOGETHER",
    "Copies",
    "Judged",
    "Mistake",
    "ModelCopies",
    "PerQuery",
    "Plan",
    "Report",
    "Retrieval",
    "Settings",
    "Tally",
    "Truth",
    "benchmark",
    "evaluate",
    "read_truth",
    "retrieval",
]
