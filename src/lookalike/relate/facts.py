"""Verdicts and changes as plain values: the one form of them in reports, `--json` and the API."""

from collections.abc import Iterable, Mapping
from typing import Any

from lookalike.relate.hit_summary import HitSummary
from lookalike.relate.relation import Verdict
from lookalike.types import Change, ChangeKind


def verdict_facts(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as plain values, for JSON."""
    evidence, match = verdict.evidence, verdict.evidence.match
    facts: dict[str, Any] = {
        "relation": str(verdict.relation),
        "probability": round(verdict.probability, 4),
        "copy_probability": round(verdict.copy, 4),
        "expected_false_matches": _short(verdict.expected_false_matches),
        "score": None if evidence.score is None else round(evidence.score, 6),
        "same_bytes": evidence.same_bytes,
        "same_pixels": evidence.same_pixels,
    }
    if evidence.reason:
        facts["reason"] = evidence.reason
    if match is not None:
        numbers = {name: _short(getattr(match, name)) for name in ("turn", "scale", "kept_first", "kept_second")}
        facts |= {"inliers": match.inliers, "matches": match.matches, "model": match.model, "mirrored": match.mirrored}
        facts |= numbers | {"structure": _short(match.agreement.structure), "residual": _short(match.residual)}
        facts["outline"] = [[_short(v) for v in corner] for corner in match.outline.tolist()]
    return facts


def summary_facts(summary: HitSummary) -> dict[str, Any]:
    """Return the summary of a search's hits as plain values, for JSON."""
    return {
        "judged": summary.judged,
        "copies": summary.copies,
        "possible": summary.possible,
        "undecided": summary.undecided,
        "strongest": str(summary.strongest),
    }


def change_facts(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """Return changes as plain values, for JSON: a list of {"kind", "values"}."""
    return [
        {"kind": str(change.kind), "values": {name: _short(value) for name, value in change.values.items()}}
        for change in changes
    ]


def changes_from_record(records: Iterable[Mapping[str, Any]] | None) -> tuple[Change, ...] | None:
    """Return saved changes; None if there are none, or if a newer version saved kinds that are unknown here."""
    if records is None:
        return None
    try:
        return tuple(Change(ChangeKind(record["kind"]), dict(record["values"])) for record in records)
    except ValueError:
        return None


def _short(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value
