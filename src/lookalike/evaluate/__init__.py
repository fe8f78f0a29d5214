"""How good a model is: metrics over vectors and labels, ground truth, intervals, reports.

Importing this loads no torch.

    from lookalike.evaluate import retrieval

    result = retrieval(queries, gallery, query_labels, gallery_labels)
    result["recall@1"], result["mAP"], result["micro-AP"], result.queries
"""

from typing import TYPE_CHECKING

from lookalike.deprecation import renamed
from lookalike.evaluate.copy_benchmark import BenchmarkPlan, BenchmarkResult, EditResult, ModelBenchmark, benchmark
from lookalike.evaluate.metrics import Tally
from lookalike.evaluate.ranking import PerQuery
from lookalike.evaluate.registry import Metric, installed_metrics
from lookalike.evaluate.report import Mistake, ModelEvaluation, Report
from lookalike.evaluate.retrieval import Retrieval, retrieval
from lookalike.evaluate.run import TOGETHER, EvaluationSettings, evaluate
from lookalike.evaluate.truth import Truth, read_truth

__all__ = [
    "TOGETHER",
    "BenchmarkPlan",
    "BenchmarkResult",
    "EditResult",
    "EvaluationSettings",
    "Metric",
    "Mistake",
    "ModelBenchmark",
    "ModelEvaluation",
    "PerQuery",
    "Report",
    "Retrieval",
    "Tally",
    "Truth",
    "benchmark",
    "evaluate",
    "installed_metrics",
    "read_truth",
    "retrieval",
]

if not TYPE_CHECKING:
    __getattr__ = renamed(
        __name__,
        {
            "Copies": "BenchmarkResult",
            "Judged": "ModelEvaluation",
            "ModelCopies": "ModelBenchmark",
            "Plan": "BenchmarkPlan",
            "Settings": "EvaluationSettings",
        },
    )
