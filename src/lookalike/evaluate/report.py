"""The result of an evaluation, as a table, JSON or Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lookalike.deprecation import with_old_keys
from lookalike.evaluate.bootstrap import Difference, Interval
from lookalike.evaluate.metrics import Tally
from lookalike.evaluate.retrieval import Retrieval
from lookalike.types import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEvaluation:
    """One model's figures. `by`: the figures for each value of a column, with their number of queries as "count"."""

    model: str
    sha256: str
    figures: Mapping[str, float]
    intervals: Mapping[str, Interval]
    by: Mapping[str, Mapping[str, float]]
    tally: Tally
    retrieval: Retrieval | None = None


@dataclass(frozen=True, slots=True)
class Mistake:
    """A query whose first hit is wrong: paths and scores of both, and the `rank` of the best right answer."""

    query: str
    wrong: str
    wrong_score: float
    right: str
    right_score: float
    rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One model, or one against another, on a ground truth. `counts`: the numbers of queries, images and pairs."""

    truth: str
    kind: str
    counts: Mapping[str, int]
    one: ModelEvaluation
    other: ModelEvaluation | None = None
    differences: Mapping[str, Difference] = field(default_factory=dict)
    column: str | None = None
    mistakes: Sequence[Mistake] = ()
    skipped: Sequence[Failure] = ()

    def to_json(self) -> dict[str, Any]:
        """Return everything but arrays, ready for json.dumps."""
        models = [self.one, *([self.other] if self.other else [])]
        differences = {
            name: asdict(d) | {"difference": d.difference, "more_than_chance": d.more_than_chance}
            for name, d in self.differences.items()
        }
        return {
            "truth": self.truth,
            "kind": self.kind,
            "counts": with_old_keys(self.counts),
            "warning": self.warning,
            "models": [_json(model) for model in models],
            "differences": differences,
            "by": self.column,
            "mistakes": [asdict(mistake) for mistake in self.mistakes],
            "skipped": [asdict(failure) for failure in self.skipped],
        }

    def table(self) -> list[list[str]]:
        """Return one row per figure, the header first."""
        return list(self._lines())

    def by_table(self) -> list[list[str]]:
        """Return one row per value of the column to break figures down by, the header first; empty without a column."""
        if not self.column:
            return []
        names = [name for name in ("recall@1", "mAP", "micro-AP", "ROC-AUC", "EER") if name in self.one.figures][:3]
        models = [self.one, *([self.other] if self.other else [])]
        head = [self.column, "pairs" if self.kind == "pairs" else "queries"]
        head += [f"{name} {_short(model.model)}" if self.other else name for name in names for model in models]
        lines = [head]
        for value, figures in self.one.by.items():
            cells = [_figure(model.by[value].get(name)) for name in names for model in models]
            lines.append([value or "(none)", f"{int(figures['count']):,}", *cells])
        return lines

    @property
    def warning(self) -> str:
        """One sentence if the figures say nothing about the model, else ""."""
        if self.one.tally.wrong.any():
            return ""
        return (
            "every image has the same label, so no answer can be wrong and any model gets these figures; "
            "give images of two labels or more"
        )

    def basis(self) -> str:
        """Return the counts that the figures are based on, as text."""
        return ", ".join(f"{count:,} {name}" for name, count in self.counts.items() if count)

    def markdown(self) -> str:
        """Return the report as a Markdown page."""
        against = f" against {_short(self.other.model)}" if self.other else ""
        parts = [
            f"# {_short(self.one.model)}{against} on {self.truth}",
            f"Based on {self.basis()}." + (f" Warning: {self.warning}." if self.warning else ""),
            _markdown(self.table()),
        ]
        if self.column:
            parts.append(_markdown(self.by_table()))
        return "\n\n".join(parts) + "\n"

    def _lines(self) -> Iterator[list[str]]:
        if self.other is None:
            yield ["figure", _short(self.one.model), "95% interval"]
            for name, value in self.one.figures.items():
                yield [name, _figure(value), _interval(self.one.intervals.get(name))]
            return
        yield [
            "figure",
            _short(self.one.model),
            _short(self.other.model),
            "difference",
            "95% interval",
            "p",
            "more than chance",
        ]
        for name, value in self.one.figures.items():
            cells = [name, _figure(value), _figure(self.other.figures.get(name))]
            difference = self.differences.get(name)
            if difference is None:
                yield [*cells, "", "", "", ""]
                continue
            interval = f"{difference.low:+.3f} to {difference.high:+.3f}"
            yield [
                *cells,
                f"{difference.difference:+.3f}",
                interval,
                f"{difference.p:.3f}",
                "yes" if difference.more_than_chance else "no",
            ]


def _json(model: ModelEvaluation) -> dict[str, Any]:
    return {
        "model": model.model,
        "sha256": model.sha256,
        "figures": dict(model.figures),
        "intervals": {name: list(interval) for name, interval in model.intervals.items()},
        "by": {value: dict(figures) for value, figures in model.by.items()},
    }


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _interval(interval: Interval | None) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else ""


def _short(model: str) -> str:
    return model.rstrip("/").rsplit("/", 1)[-1]


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    head, *rows = (f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
    return "\n".join([head, "|---" * len(lines[0]) + "|", *rows])


def align_columns(lines: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of text with aligned cells, the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]).rstrip()
        for line in lines
    ]
