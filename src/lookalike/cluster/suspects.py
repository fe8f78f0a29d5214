"""Labels that their neighbors contradict, saved in the collection."""

from collections.abc import Sequence
from typing import Any

from lookalike.cluster.spread import Suspect
from lookalike.search import Collection
from lookalike.search.saved_results import save_result
from lookalike.text import now

SUSPECTS = "suspects"


def keep_suspects(photos: Collection, ids: Sequence[str], suspects: Sequence[Suspect]) -> None:
    """Keep the labels that their neighbours contradict. `ids`: of the rows that were looked at."""
    save_result(photos, SUSPECTS, {"when": now(), "suspects": [_suspect(one, ids) for one in suspects]})


def _suspect(found: Suspect, ids: Sequence[str]) -> dict[str, Any]:
    return {
        "id": ids[found.row],
        "label": str(found.given),
        "instead": str(found.instead),
        "confidence": round(found.confidence, 4),
        "neighbours": [ids[row] for row in found.neighbours],
    }
