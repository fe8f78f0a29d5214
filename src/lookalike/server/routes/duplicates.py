"""/v1/duplicates, /v1/decisions, /v1/choices: the groups of the last search, and their review."""

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
from lookalike.errors import UnknownId
from lookalike.relate.facts import change_facts
from lookalike.server.http.access import header_dict
from lookalike.server.http.dependencies import AppState, AppStateDep, Offset, check_owned, error_responses
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
from lookalike.server.process.settings import Settings, is_loopback
from lookalike.server.service.journals import (
    ApplyNotAllowed,
    GroupsChanged,
    count_movable,
    journals_of,
    new_journal_name,
    present_groups,
)
from lookalike.types import DuplicateGroup, Extra, Hit

_NOT_ALLOWED = "this server was started without --allow-apply, so it moves no files"

router = APIRouter(tags=["duplicates"])


@router.get("/v1/duplicates", response_model=DuplicatesOut, responses=error_responses())
async def duplicates(
    state: AppStateDep,
    k: Annotated[int, Query(ge=1, le=500, description="Number of groups.", examples=[50])] = 50,
    offset: Offset = 0,
) -> Response:
    """Return groups of altered copies, largest first, at most 20,000.

    POST /v1/jobs with kind `duplicates` finds them and saves them in the collection with their date.
    """
    return as_json(await state.service.in_thread(lambda: _groups_page(state, k, offset)))


def _groups_page(state: AppState, k: int, offset: int) -> dict[str, Any]:
    photos, _ = state.service.current
    stored = load_duplicates(photos)
    if stored is None:
        return {"when": None, "images": 0, "pictures": 0, "total": 0, "groups": []}
    when, duplicates = stored
    present = _present_groups(state, duplicates)
    present.sort(key=lambda group: (-len(group.extras), group.keep.id))
    verdicts, chosen = Decisions(photos).by_pair(), KeepChoices(photos).by_content()
    shown = [
        _group_out(group, verdicts, chosen, show_paths=state.settings.show_paths)
        for group in present[offset : offset + k]
    ]
    counts = {"images": duplicates.pictures, "pictures": duplicates.pictures, "total": len(present)}
    return {"when": when, **counts, "groups": shown}


def _present_groups(state: AppState, duplicates: Duplicates) -> list[DuplicateGroup]:
    """Return the groups without images that were removed from the collection or moved to the trash by this server."""
    _, index = state.service.current
    groups = present_groups(duplicates, state.settings.uri)
    if index is None:
        return groups
    ids = [group.keep.id for group in groups] + [extra.id for group in groups for extra in group.extras]
    known = {image_id for image_id, there in zip(ids, index.contained(ids), strict=True) if there}
    present = []
    for group in groups:
        extras = tuple(extra for extra in group.extras if extra.id in known)
        if extras and group.keep.id in known:
            present.append(replace(group, extras=extras))
    return present


def _group_out(
    group: DuplicateGroup, verdicts: dict[str, str], chosen: dict[str, tuple[int, str]], *, show_paths: bool
) -> dict[str, Any]:
    keep, keep_hash = group.keep, _content_hash(group.keep)
    instead = chosen_extra(group, chosen)

    def extra_out(extra: Extra) -> dict[str, Any]:
        names = ("id", "score", "relation", "probability", "words", "reason", "transform")
        return {name: getattr(extra, name) for name in names} | {
            "verdict": verdicts.get(pair_key(keep_hash, _content_hash(extra))),
            "chosen": extra.id == instead,
            "changes": None if extra.changes is None else change_facts(extra.changes),
            "kinds": list(kinds_of(extra)),
            "unsure": extra.unsure,
            "left": extra.blocked_reason,
            "companions": [os.path.basename(path) for path in extra.companions],
            "metadata": public(extra.metadata, show_paths=show_paths),
        }

    return {
        "keep": {"id": keep.id, "metadata": public(keep.metadata, show_paths=show_paths)},
        "chosen": keep_hash in chosen and instead is None,
        "extras": [extra_out(extra) for extra in group.extras],
    }


def _content_hash(image: Hit | Extra) -> str:
    return str(image.metadata.get("sha256") or "")


@router.get("/v1/duplicates/apply", response_model=ApplyOut, responses=error_responses())
async def apply_state(request: Request, state: AppStateDep) -> Response:
    """Return whether this server may move accepted extras to the trash, the command that does, and the journals."""
    may_write = state.access.may_write(header_dict(request.scope["headers"]))
    return as_json(await state.service.in_thread(lambda: _apply_state(state, may_write=may_write)))


def _apply_refusal(settings: Settings, *, may_write: bool) -> str:
    """Return why the sender may not move files, or "" if it may."""
    if settings.read_only:
        return "this server was started with --read-only"
    if not settings.allow_apply:
        return _NOT_ALLOWED
    return "" if may_write else "your token is read-only"


def _apply_state(state: AppState, *, may_write: bool) -> dict[str, Any]:
    settings = state.settings
    reason = _apply_refusal(settings, may_write=may_write)
    # Only users with write access on this machine see the location of the collection.
    show_location = settings.show_paths or (may_write and is_loopback(settings.host))
    stored = load_duplicates(state.service.current[0])
    last = last_options(stored[0]) if stored else ["--last"]
    uri, journal = settings.uri if show_location else "COLLECTION", f"{new_journal_name()}.jsonl"
    files, size = count_movable(_accepted_groups(state))
    return {
        "allowed": not reason,
        "reason": reason,
        "command": apply_command(uri, last, journal=journal),
        "files": files,
        "bytes": size,
        "journals": [
            {
                "journal": summary.journal,
                "created": summary.created,
                "moved": summary.moved,
                "restored": summary.restored,
                "bytes": summary.size,
            }
            for summary in (journals_of(settings.uri) if not reason else ())
        ],
    }


def _accepted_groups(state: AppState) -> tuple[DuplicateGroup, ...]:
    photos, _ = state.service.current
    stored = load_duplicates(photos)
    if stored is None:
        return ()
    return accepted_groups(
        _present_groups(state, stored[1]), Decisions(photos).by_pair(), KeepChoices(photos).by_content()
    )


@router.post("/v1/duplicates/apply", response_model=JobOut, status_code=202, responses=error_responses(409))
async def apply(request: ApplyIn, state: AppStateDep) -> Response:
    """Start a job of kind `apply` that moves the accepted extras to the trash.

    The server must have been started with --allow-apply. If the groups or the number of accepted extras have changed
    since the review, the request is refused.
    """
    _check_allowed(state)

    def check() -> None:
        stored = load_duplicates(state.service.current[0])
        if stored is None or stored[0] != request.when:
            raise GroupsChanged("a new search has replaced these groups; reload the page and review the groups")
        files, _ = count_movable(_accepted_groups(state))
        if files != request.files:
            raise GroupsChanged(
                f"{files:,} extras are accepted now, not {request.files:,}; reload the page and review them"
            )

    await state.service.in_thread(check)
    show_paths = "yes" if state.settings.show_paths else ""
    job = await state.jobs.start("apply", new_journal_name(), request.when, str(request.files), show_paths)
    return as_json(job, status=202)


@router.post("/v1/duplicates/undo", response_model=JobOut, status_code=202, responses=error_responses(404, 409))
async def undo(request: UndoIn, state: AppStateDep) -> Response:
    """Start a job of kind `undo` that restores the files of one journal."""
    _check_allowed(state)
    known = await state.service.in_thread(lambda: {summary.journal for summary in journals_of(state.settings.uri)})
    if request.journal not in known:
        raise UnknownId(
            f"there is no journal {request.journal[:40]!r} of this collection; GET /v1/duplicates/apply lists them"
        )
    show_paths = "yes" if state.settings.show_paths else ""
    return as_json(await state.jobs.start("undo", request.journal, show_paths), status=202)


def _check_allowed(state: AppState) -> None:
    """Raises ReadOnly, ApplyNotAllowed, BadQuery. Access control has already refused clients without write access."""
    if not state.settings.allow_apply:
        hint = "start it with --allow-apply, or run the command returned by GET /v1/duplicates/apply"
        raise ApplyNotAllowed(_NOT_ALLOWED, hint=hint)
    state.service.writable()
    check_owned(state)


@router.post("/v1/decisions", response_model=DecisionOut, responses=error_responses(404, 507))
async def decide(decision: DecisionIn, state: AppStateDep) -> Response:
    """Record a verdict about two images. It is stored by the content of the files and applies to later searches."""
    photos = state.service.writable()
    for image_id in (decision.first, decision.second):
        await state.service.row(image_id, [])

    def work() -> None:
        decisions = Decisions(photos)
        first, second = f"id:{decision.first}", f"id:{decision.second}"
        if decision.verdict is None:
            decisions.forget(first, second)
        else:
            decisions.decide(first, second, decision.verdict)

    await state.service.in_thread(work)
    return as_json({"first": decision.first, "second": decision.second, "verdict": decision.verdict})


@router.post("/v1/decisions/batch", response_model=DecisionsOut, responses=error_responses(404, 507))
async def decide_many(batch: DecisionsIn, state: AppStateDep) -> Response:
    """Record several verdicts, as POST /v1/decisions does for one: all of them, or none if one is invalid."""
    photos = state.service.writable()
    pairs = [(one.first, one.second, one.verdict) for one in batch.decisions]
    return as_json({"decided": await state.service.in_thread(lambda: Decisions(photos).decide_ids(pairs))})


@router.post("/v1/choices", response_model=ChoiceOut, responses=error_responses(404, 507))
async def choose(choice: ChoiceIn, state: AppStateDep) -> Response:
    """Choose the image to keep among its copies, or withdraw the choice.

    The choice is stored by the content of the file; of two chosen images, the one chosen last is kept.
    """
    photos = state.service.writable()
    await state.service.row(choice.id, [])

    def work() -> None:
        chosen = KeepChoices(photos)
        (chosen.choose if choice.keep else chosen.forget)(f"id:{choice.id}")

    await state.service.in_thread(work)
    return as_json({"id": choice.id, "keep": choice.keep})
