"""/v1/duplicates, /v1/decisions, /v1/choices: what the last search found, and what a person says of it."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from lookalike.cluster import Chosen, Decisions
from lookalike.cluster.duplicates.chosen import precedence
from lookalike.cluster.duplicates.decisions import pair_key
from lookalike.cluster.duplicates.rows import may_be_chosen
from lookalike.cluster.findings import DUPLICATES, finding
from lookalike.server.answers import as_json, public
from lookalike.server.models import ChoiceIn, ChoiceOut, DecisionIn, DecisionOut, DuplicatesOut
from lookalike.server.parts import Needs, Offset, Parts, fails
from lookalike.server.resident import Resident

router = APIRouter(tags=["duplicates"])


@router.get("/v1/duplicates", response_model=DuplicatesOut, responses=fails())
async def duplicates(
    parts: Needs,
    k: Annotated[int, Query(ge=1, le=500, description="How many groups.", examples=[50])] = 50,
    offset: Offset = 0,
) -> Response:
    """Groups of altered copies, the largest first, 20,000 of them at most. POST /v1/jobs looks for `duplicates`.

    What was found is kept in the collection, with its date."""
    return as_json(await parts.desk.in_thread(lambda: _found(parts, k, offset)))


def _found(parts: Parts, k: int, offset: int) -> dict[str, Any]:
    photos, copy = parts.desk.at_hand
    told = finding(photos, DUPLICATES)
    if told is None:
        return {"when": None, "pictures": 0, "total": 0, "groups": []}
    there = [group for one in told["groups"] if (group := _there(one, copy))]
    there.sort(key=lambda group: (-len(group["extras"]), group["keep"]["id"]))
    said = Decisions(photos).by_pair(), Chosen(photos).by_content()
    shown = [_group(group, *said, show_paths=parts.settings.show_paths) for group in there[offset : offset + k]]
    return {"when": told["when"], "pictures": told["pictures"], "total": len(there), "groups": shown}


def _there(group: Mapping[str, Any], copy: Resident | None) -> Mapping[str, Any] | None:
    """The group, as far as its pictures are still in the collection."""
    if copy is None:
        return group
    extras = [extra for extra in group["extras"] if copy.vector(extra["id"]) is not None]
    return {**group, "extras": extras} if extras and copy.vector(group["keep"]["id"]) is not None else None


def _group(
    group: Mapping[str, Any], verdicts: dict[str, str], chosen: dict[str, tuple[int, str]], *, show_paths: bool
) -> dict[str, Any]:
    keep, kept = group["keep"], _content(group["keep"])
    instead = _instead(group, chosen)

    def extra(one: dict[str, Any]) -> dict[str, Any]:
        names = ("id", "score", "relation", "probability", "words", "reason")
        facts = {
            "verdict": verdicts.get(pair_key(kept, _content(one))),
            "chosen": one["id"] == instead,
            "metadata": public(one["metadata"], show_paths=show_paths),
        }
        # What older versions kept has none.
        return {name: one[name] for name in names} | {"transform": one.get("transform")} | facts

    return {
        "keep": {"id": keep["id"], "metadata": public(keep["metadata"], show_paths=show_paths)},
        "chosen": kept in chosen and instead is None,
        "extras": [extra(one) for one in group["extras"]],
    }


def _content(image: Mapping[str, Any]) -> str:
    return str(image["metadata"].get("sha256") or "")


def _instead(group: Mapping[str, Any], chosen: dict[str, tuple[int, str]]) -> str | None:
    """The id of the extra that was chosen last, and will be kept; None where it will be the one that is."""
    if group["keep"]["metadata"].get("reference"):
        return None
    kept, _ = precedence(chosen, _content(group["keep"]), _path(group["keep"]))
    ranked = [(precedence(chosen, _content(one), _path(one)), one) for one in group["extras"]]
    later = [
        (order, str(one["id"]))
        for order, one in ranked
        if order[0] > kept and may_be_chosen(_path(one), _path(group["keep"]))
    ]
    return max(later)[1] if later else None


def _path(image: Mapping[str, Any]) -> str:
    return str(image["metadata"].get("path") or "")


@router.post("/v1/decisions", response_model=DecisionOut, responses=fails(404, 507))
async def decide(wanted: DecisionIn, parts: Needs) -> Response:
    """Say what two images are. It is remembered by what the files hold, and no search for duplicates asks again."""
    photos = parts.desk.writable()
    for image_id in (wanted.first, wanted.second):
        await parts.desk.row(image_id, [])

    def work() -> None:
        decisions = Decisions(photos)
        first, second = f"id:{wanted.first}", f"id:{wanted.second}"
        if wanted.verdict is None:
            decisions.forget(first, second)
        else:
            decisions.decide(first, second, wanted.verdict)

    await parts.desk.in_thread(work)
    return as_json({"first": wanted.first, "second": wanted.second, "verdict": wanted.verdict})


@router.post("/v1/choices", response_model=ChoiceOut, responses=fails(404, 507))
async def choose(wanted: ChoiceIn, parts: Needs) -> Response:
    """Say which image is to be kept among its copies, or leave it to the rules again. It is remembered by what the file
    holds; of two that are chosen, the one chosen last is kept."""
    photos = parts.desk.writable()
    await parts.desk.row(wanted.id, [])

    def work() -> None:
        chosen = Chosen(photos)
        (chosen.choose if wanted.keep else chosen.forget)(f"id:{wanted.id}")

    await parts.desk.in_thread(work)
    return as_json({"id": wanted.id, "keep": wanted.keep})
