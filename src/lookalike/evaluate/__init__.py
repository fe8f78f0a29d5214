"""How good a model is: metrics over vectors and labels, ground truth, intervals, reports. Without torch.

from lookalike.evaluate import retrieval

result = retrieval(queries, gallery, query_labels, gallery_labels)
result["recall@1"], result["mAP"], result["micro-AP"], result.queries
"""

import warnings
from typing import TYPE_CHECKING, Any

from lookalike.evaluate.copy_benchmark import BenchmarkPlan, BenchmarkResult, EditResult, ModelBenchmark, benchmark
from lookalike.evaluate.metrics import Tally
from lookalike.evaluate.ranking import PerQuery
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
    "read_truth",
    "retrieval",
]

_RENAMED = {
    "Copies": "BenchmarkResult",
    "Judged": "ModelEvaluation",
    "ModelCopies": "ModelBenchmark",
    "Plan": "BenchmarkPlan",
    "Settings": "EvaluationSettings",
}

if not TYPE_CHECKING:  # old names are for running code; a type checker reports them

    def __getattr__(name: str) -> Any:
        """Return what an old name stands for, with a DeprecationWarning."""
        if name in _RENAMED:
            new = _RENAMED[name]
            warnings.warn(
                f"lookalike.evaluate.{name} is now lookalike.evaluate.{new}", DeprecationWarning, stacklevel=2
            )
            return globals()[new]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
