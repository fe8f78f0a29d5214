"""/v1/duplicates, /v1/decisions, /v1/choices: what the last search found, and what a person says of it."""

import os
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from lookalike.duplicates import Decisions, Duplicates, KeepChoices, accepted_groups
from lookalike.duplicates.keep.keep_choices import chosen_extra
from lookalike.duplicates.review.accepted import apply_command, last_options
from lookalike.duplicates.review.decisions import pair_key
from lookalike.duplicates.review.kinds import kinds_of
from lookalike.duplicates.review.saved_groups import load_duplicates
from lookalike.errors import BadQuery, UnknownId
from lookalike.server.http.access import lowered
from lookalike.server.http.dependencies import Needs, Offset, Parts, fails
from lookalike.server.http.responses import as_json, public
from lookalike.server.http.schemas import (
    ApplyIn,
    ApplyOut,
    ChoiceIn,
    ChoiceOut,
    DecisionIn,
    DecisionOut,
    DecisionsIn,
    DecisionsOut,
    DuplicatesOut,
    JobOut,
    UndoIn,
)
from lookalike.server.process.settings import is_loopback
from lookalike.server.service.journals import (
    ApplyNotAllowed,
    GroupsChanged,
    count_movable,
    journals_of,
    new_journal_name,
    present_groups,
)
from lookalike.types import DuplicateGroup, Extra, Hit

_NOT_ALLOWED = (
    "this server was started without --allow-apply, so nothing is moved from here; start it with --allow-apply, "
    "or type the command that GET /v1/duplicates/apply tells"
)
_MAY_NOT_WRITE = "your token is for reading, or the server was started with --read-only: nothing is moved from here"

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
    photos, _ = parts.desk.at_hand
    stored = load_duplicates(photos)
    if stored is None:
        return {"when": None, "pictures": 0, "total": 0, "groups": []}
    when, found = stored
    present = _present(parts, found)
    present.sort(key=lambda group: (-len(group.extras), group.keep.id))
    said = Decisions(photos).by_pair(), KeepChoices(photos).by_content()
    shown = [_group(group, *said, show_paths=parts.settings.show_paths) for group in present[offset : offset + k]]
    return {"when": when, "pictures": found.pictures, "total": len(present), "groups": shown}


def _present(parts: Parts, found: Duplicates) -> list[DuplicateGroup]:
    """The groups, as far as their pictures are still in the collection and were not moved to the trash from here."""
    _, copy = parts.desk.at_hand
    groups = present_groups(found, parts.settings.uri)
    if copy is None:
        return groups
    present = []
    for group in groups:
        extras = tuple(extra for extra in group.extras if extra.id in copy)
        if extras and group.keep.id in copy:
            present.append(replace(group, extras=extras))
    return present


def _group(
    group: DuplicateGroup, verdicts: dict[str, str], chosen: dict[str, tuple[int, str]], *, show_paths: bool
) -> dict[str, Any]:
    keep, kept = group.keep, _content(group.keep)
    instead = chosen_extra(group, chosen)

    def extra_out(extra: Extra) -> dict[str, Any]:
        names = ("id", "score", "relation", "probability", "words", "reason", "transform")
        return {name: getattr(extra, name) for name in names} | {
            "verdict": verdicts.get(pair_key(kept, _content(extra))),
            "chosen": extra.id == instead,
            "kinds": list(kinds_of(extra)),
            "unsure": extra.unsure,
            "left": extra.blocked_reason,
            "companions": [os.path.basename(path) for path in extra.companions],
            "metadata": public(extra.metadata, show_paths=show_paths),
        }

    return {
        "keep": {"id": keep.id, "metadata": public(keep.metadata, show_paths=show_paths)},
        "chosen": kept in chosen and instead is None,
        "extras": [extra_out(extra) for extra in group.extras],
    }


def _content(image: Hit | Extra) -> str:
    return str(image.metadata.get("sha256") or "")


@router.get("/v1/duplicates/apply", response_model=ApplyOut, responses=fails())
async def apply_state(request: Request, parts: Needs) -> Response:
    """Whether accepted extras may be moved to the trash from here, else the command to type; what was moved so far."""
    may_write = parts.gate.may_write(lowered(request.scope["headers"]))
    return as_json(await parts.desk.in_thread(lambda: _apply_state(parts, may_write=may_write)))


def _apply_state(parts: Parts, *, may_write: bool) -> dict[str, Any]:
    settings = parts.settings
    allowed = settings.allow_apply and may_write
    reason = _NOT_ALLOWED if not settings.allow_apply else "" if may_write else _MAY_NOT_WRITE
    # Where the collection lies is told to who may change it and sits at this machine.
    shows_place = settings.show_paths or (may_write and is_loopback(settings.host))
    stored = load_duplicates(parts.desk.at_hand[0])
    last = last_options(stored[0]) if stored else ["--last"]
    uri, journal = settings.uri if shows_place else "COLLECTION", f"{new_journal_name()}.jsonl"
    files, size = count_movable(_accepted(parts))
    return {
        "allowed": allowed,
        "reason": reason,
        "command": apply_command(uri, last, journal=journal),
        "files": files,
        "bytes": size,
        "journals": [
            {
                "journal": one.journal,
                "created": one.created,
                "moved": one.moved,
                "restored": one.restored,
                "bytes": one.size,
            }
            for one in (journals_of(settings.uri) if allowed else ())
        ],
    }


def _accepted(parts: Parts) -> tuple[DuplicateGroup, ...]:
    photos, _ = parts.desk.at_hand
    stored = load_duplicates(photos)
    if stored is None:
        return ()
    return accepted_groups(_present(parts, stored[1]), Decisions(photos).by_pair(), KeepChoices(photos).by_content())


@router.post("/v1/duplicates/apply", response_model=JobOut, status_code=202, responses=fails(409))
async def apply(wanted: ApplyIn, parts: Needs) -> Response:
    """Move the accepted extras to the trash, as a job of kind `apply`. Only where the server was started with
    --allow-apply, and only what a person looked at: another number of accepted extras is refused."""
    _check_allowed(parts)

    def check() -> None:
        stored = load_duplicates(parts.desk.at_hand[0])
        if stored is None or stored[0] != wanted.when:
            raise GroupsChanged("somebody looked for duplicates again since; reload the page and look at the groups")
        files, _ = count_movable(_accepted(parts))
        if files != wanted.files:
            raise GroupsChanged(f"{files:,} extras are accepted by now, not {wanted.files:,}; reload the page and look")

    await parts.desk.in_thread(check)
    shows = "yes" if parts.settings.show_paths else ""
    return as_json(
        await parts.jobs.start("apply", new_journal_name(), wanted.when, str(wanted.files), shows), status=202
    )


@router.post("/v1/duplicates/undo", response_model=JobOut, status_code=202, responses=fails(404, 409))
async def undo(wanted: UndoIn, parts: Needs) -> Response:
    """Put back what was moved to the trash together, as a job of kind `undo`."""
    _check_allowed(parts)
    known = await parts.desk.in_thread(lambda: {one.journal for one in journals_of(parts.settings.uri)})
    if wanted.journal not in known:
        raise UnknownId(
            f"there is no journal {wanted.journal[:40]!r} of this collection; GET /v1/duplicates/apply lists them"
        )
    shows = "yes" if parts.settings.show_paths else ""
    return as_json(await parts.jobs.start("undo", wanted.journal, shows), status=202)


def _check_allowed(parts: Parts) -> None:
    """Raises ReadOnly, ApplyNotAllowed, BadQuery. Who may not write at all is refused by the gate."""
    if not parts.settings.allow_apply:
        raise ApplyNotAllowed(_NOT_ALLOWED)
    parts.desk.writable()
    if parts.desk.given:
        raise BadQuery("this collection is held open by a program; do it there")


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


@router.post("/v1/decisions/batch", response_model=DecisionsOut, responses=fails(404, 507))
async def decide_many(wanted: DecisionsIn, parts: Needs) -> Response:
    """Say what many pairs are, as POST /v1/decisions does for one: all of them, or none where one cannot be decided."""
    photos = parts.desk.writable()
    pairs = [(one.first, one.second, one.verdict) for one in wanted.decisions]
    return as_json({"decided": await parts.desk.in_thread(lambda: Decisions(photos).decide_ids(pairs))})


@router.post("/v1/choices", response_model=ChoiceOut, responses=fails(404, 507))
async def choose(wanted: ChoiceIn, parts: Needs) -> Response:
    """Say which image is to be kept among its copies, or leave it to the rules again. It is remembered by what the file
    holds; of two that are chosen, the one chosen last is kept."""
    photos = parts.desk.writable()
    await parts.desk.row(wanted.id, [])

    def work() -> None:
        chosen = KeepChoices(photos)
        (chosen.choose if wanted.keep else chosen.forget)(f"id:{wanted.id}")

    await parts.desk.in_thread(work)
    return as_json({"id": wanted.id, "keep": wanted.keep})
