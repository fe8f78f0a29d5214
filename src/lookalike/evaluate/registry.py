"""Metrics of a ranking that other packages register (docs/extending.md)."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from lookalike.errors import BadQuery, LookalikeError
from lookalike.evaluate.metrics import Flags
from lookalike.plugins import load_plugin, plugins

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Metric:
    """A named metric of one query's ranking; a report shows its mean over the queries with a right answer.

    `function`: from (n,) bool, best first, whether the image at each rank is a right answer (at least one is), to a
    number; higher is better. Among equal scores wrong answers rank first.
    """

    name: str
    function: Callable[[Flags], float]

    def __call__(self, ranked: Flags) -> float:
        """Return the metric of (n,) flags. Raises LookalikeError where the function fails or gives no finite number."""
        try:
            value = float(self.function(ranked.copy()))
        except Exception as error:
            raise LookalikeError(f"the metric {self.name!r} failed: {type(error).__name__}: {error}") from error
        if not math.isfinite(value):
            raise LookalikeError(f"the metric {self.name!r} gave {value}; it must give a finite number")
        return value


def merge_figures(figures: Mapping[str, Value], others: Mapping[str, Value]) -> dict[str, Value]:
    """Return both, in order. Raises BadQuery where both have a figure of one name."""
    for name in others:
        if name in figures:
            raise BadQuery(f"two figures are called {name!r}; rename the metric that another package registers")
    return {**figures, **others}


def installed_metrics() -> tuple[Metric, ...]:
    """Return the metrics that other packages register, by name. Raises LookalikeError where one cannot be loaded."""
    return tuple(Metric(name, load_plugin("metrics", name)) for name in sorted(plugins("metrics")))
