"""Verdicts, changes and containments as plain values: the one form of them in reports, `--json` and the API."""

from collections.abc import Iterable, Mapping
from typing import Any

from lookalike.relate.geometry.containment import Containment, part_shown
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


def containment_facts(containment: Containment) -> dict[str, Any]:
    """Return how the query and a stored image lie in each other as plain values, for JSON.

    `outline`: the query's corners as fractions of the stored image. `query_outline`: the stored image's corners as
    fractions of the query, None if the query lies inside the stored image. `query_part`, `part`: the corners of what
    both show, in the query and in the stored image: a cell of a collage may show only the middle of its image.
    """
    location = containment.location
    low, high = location.outline.min(axis=0), location.outline.max(axis=0)
    shown = None if containment.kind == "inside" else part_shown(location.match)
    in_query, in_stored = location.shared
    return {
        "kind": containment.kind,
        "box": rounded((*low, *(high - low))),
        "outline": [rounded(corner) for corner in location.outline],
        "query_outline": None if shown is None else [rounded(corner) for corner in shown],
        "query_part": [rounded(corner) for corner in in_query],
        "part": [rounded(corner) for corner in in_stored],
        "share": round(location.share, 4),
        "turn": round(location.turn, 1),
        "scale": round(location.scale, 3),
        "mirrored": location.mirrored,
        "relation": str(location.relation),
        "probability": round(location.probability, 4),
        "inliers": location.inliers,
    }


def rounded(values: Iterable[float]) -> list[float]:
    """Return fractions of an image with four decimals."""
    return [round(float(v), 4) + 0.0 for v in values]  # + 0.0: no "-0"


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
