"""lookalike duplicates: groups of copies with the one to keep; no file is changed without --apply."""

import json as jsonlib
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.command import interrupt_text
from lookalike.cli.options import CollectionOption, JsonOption, RayOption, task_pool
from lookalike.cli.output import ProgressLine, log, print_json, print_row
from lookalike.cli.usage_errors import checked_by, usage_error_for
from lookalike.errors import BadFilter, BadQuery, ReadOnly, SourceError, StoreFailed
from lookalike.text import bytes_text, counted, expanded, percent

if TYPE_CHECKING:
    from lookalike.duplicates import Action, Decisions, Duplicates, KeepChoices
    from lookalike.search import Collection
    from lookalike.types import DuplicateGroup, Extra


def _check_rules(rules: str) -> None:
    from lookalike.duplicates.keep.rules import Keep

    Keep(rules)


def _check_action(action: str) -> None:
    from lookalike.duplicates import parse_action

    parse_action(action)


def duplicates(
    collection: CollectionOption = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="COLLECTION_OR_FOLDER",
            help="Find only copies of these reference images, which are kept and never changed.",
        ),
    ] = None,
    keep: Annotated[
        str,
        typer.Option(
            metavar="RULE,RULE...",
            callback=checked_by(_check_rules),
            help="Which image to keep, first rule first: bare (nothing added), largest, smallest, heaviest, lightest, "
            "oldest, newest, sharpest, upright, metadata, format, quality, name, path, in:FOLDER, not-in:FOLDER.",
        ),
    ] = "bare,largest,upright,metadata,format,quality,oldest,name,path",
    reference: Annotated[
        list[str] | None,
        typer.Option(metavar="DIR", help="A folder whose files are always kept; may be repeated."),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(
            metavar="S", min=-1, max=1, help="Compare only pairs with at least this score. Default: by the calibration."
        ),
    ] = None,
    probability: Annotated[
        float, typer.Option(metavar="P", min=0.01, max=1, help="Minimum probability of a copy.")
    ] = 0.9,
    where: Annotated[
        str | None,
        typer.Option(metavar="CONDITION", help='Only images that meet this SQL condition: "width > 1000".'),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only copies with the whole frame: no crops, no free rotations.")
    ] = False,
    no_turned: Annotated[
        bool, typer.Option("--no-turned", help="Do not search for mirrored or rotated copies.")
    ] = False,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Write a page for the review of the groups."),
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Write a row for each image.")] = None,
    last: Annotated[
        bool, typer.Option("--last", help="Use the groups of the last search, as lookalike serve shows them.")
    ] = False,
    found_at: Annotated[
        str | None,
        typer.Option(
            metavar="MOMENT", help="With --last: fail unless the last search has this time, as shown on the page."
        ),
    ] = None,
    accepted_only: Annotated[
        bool, typer.Option("--accepted-only", help='Only extras that were accepted (decided "copy").')
    ] = False,
    apply: Annotated[
        str | None,
        typer.Option(
            metavar="trash|move:DIR|hardlink",
            callback=checked_by(_check_action),
            help="Remove the extras. Without this option, no file is changed.",
        ),
    ] = None,
    journal: Annotated[
        Path | None,
        typer.Option(metavar="FILE.jsonl", help="Where to record each step, for lookalike undo. A new file."),
    ] = None,
    not_a_copy: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="Record that two images are not copies of each other; permanent."),
    ] = None,
    keep_both: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="Record that two copies are both kept; permanent."),
    ] = None,
    keep_this: Annotated[
        list[str] | None,
        typer.Option(metavar="A", help="Always keep this image, whatever the rules; permanent."),
    ] = None,
    forget_this: Annotated[
        list[str] | None,
        typer.Option(metavar="A", help="Undo --keep-this for an image, so that the rules decide again."),
    ] = None,
    forget: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="Remove the decision about two images."),
    ] = None,
    decisions: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Import decisions that the page saved; - for stdin."),
    ] = None,
    list_decisions: Annotated[
        bool, typer.Option("--list-decisions", help="Print all decisions, in the format of --decisions.")
    ] = False,
    ray: RayOption = None,
    json: JsonOption = False,
) -> None:
    """Find altered copies, with the image to keep and the reason. A dry run unless --apply is given."""
    from lookalike.duplicates import Decisions, KeepChoices, Options, accepted_groups, find_duplicates
    from lookalike.duplicates.review.accepted import last_options
    from lookalike.search import open_collection

    is_deciding = any((not_a_copy, keep_both, forget, keep_this, forget_this)) or decisions is not None
    if is_deciding and (apply or journal or page or csv or against):
        raise typer.BadParameter(
            "decisions and a search cannot be combined; record the decisions first, then search in a second call"
        )
    _check_companions(apply, journal, found_at, last=last)
    if ray and (is_deciding or list_decisions or last):
        raise typer.BadParameter("nothing is searched here; leave it out", param_hint="--ray")
    with open_collection(collection, create=False) as photos:
        if is_deciding or list_decisions:
            stored, choices = Decisions(photos), KeepChoices(photos)
            _store_decisions(stored, not_a_copy, keep_both, forget)
            _store_choices(choices, keep_this or [], forget_this or [])
            if decisions is not None:
                _import_decisions(stored, choices, decisions)
            if list_decisions:
                _print_decisions(stored, choices)
            return
        action = _action(apply, photos)
        search_options = _search_options(
            against, keep, reference, min_score, probability, where, quick=quick, turned=not no_turned
        )
        if last and search_options:
            raise typer.BadParameter(
                f"it uses the groups of the last search, so {search_options[0]} has no effect; leave it out",
                param_hint="--last",
            )
        options = Options(
            min_score=min_score,
            probability=probability,
            references=_references(reference),
            where=where,
            verify=not quick,
            turned=not no_turned,
        )
        with _open_reference(against, photos) as reference_collection, ProgressLine("images") as progress:
            from dataclasses import replace

            when: str | None
            if last:
                when, result = _last_search(photos, found_at)
            else:
                with task_pool(ray) as tasks, usage_error_for("--where", BadFilter):
                    options = replace(options, progress=progress, tasks=tasks)
                    result = find_duplicates(photos, keep=keep, against=reference_collection, options=options)
                is_complete = reference_collection is None and where is None
                when = _save_for_server(result, photos) if is_complete else None
            if accepted_only:
                groups = accepted_groups(result, Decisions(photos).by_pair(), KeepChoices(photos).by_content())
                result = replace(result, groups=groups)
            if page:
                group_options = search_options if when is None else last_options(when)
                _write_page(result, page, photos, reference_collection, group_options)
        if csv:
            from lookalike.duplicates.review.export import write_csv

            write_csv(result, csv)
            log(f"written: {csv}")
        _print_groups(result, as_json=json)
        _print_summary(result, action, photos.uri, page)
        if action:
            _apply_action(result, action, journal or _journal_name(), photos.uri, as_json=json)


def _check_companions(apply: str | None, journal: Path | None, found_at: str | None, *, last: bool) -> None:
    """Raise a usage error for an option that means nothing without another one."""
    if journal and apply is None:
        raise typer.BadParameter(
            "without --apply no file is touched; add --apply, or leave it out", param_hint="--journal"
        )
    if found_at is not None and not last:
        raise typer.BadParameter(
            "it selects the search of --last; add --last, or leave it out", param_hint="--found-at"
        )


def _action(apply: str | None, photos: "Collection") -> "Action | None":
    from lookalike.duplicates import parse_action

    if apply is None:
        return None
    with usage_error_for("--apply"):
        return parse_action(apply, [root.path for root in photos.roots() if root.kind == "folder"])


def _search_options(
    against: str | None,
    keep: str,
    reference: list[str] | None,
    min_score: float | None,
    probability: float,
    where: str | None,
    *,
    quick: bool,
    turned: bool,
) -> list[str]:
    """Return the options of the search that differ from the defaults, for a command that finds the same groups."""
    from lookalike.duplicates.keep.rules import DEFAULT
    from lookalike.duplicates.search.find import PROBABILITY

    words = ["--against", against] if against is not None else []
    words += ["--keep", keep] if keep != ",".join(DEFAULT) else []
    words += [word for folder in reference or () for word in ("--reference", folder)]
    words += ["--min-score", f"{min_score:g}"] if min_score is not None else []
    words += ["--probability", f"{probability:g}"] if probability != PROBABILITY else []
    words += ["--where", where] if where is not None else []
    return words + ["--quick"] * quick + ["--no-turned"] * (not turned)


def _last_search(photos: "Collection", found_at: str | None) -> "tuple[str, Duplicates]":
    """Return the time of the last search and its groups. Raises BadQuery if there is none, or not of `found_at`."""
    from dataclasses import replace

    from lookalike.duplicates.review.saved_groups import load_duplicates, still_present

    stored = load_duplicates(photos)
    if stored is None:
        raise BadQuery("no search for duplicates has been saved in this collection; leave --last out")
    when, result = stored
    if found_at is not None and found_at != when:
        raise BadQuery(f"the groups of {found_at} were replaced by a search at {when}; review the groups again")
    return when, replace(result, groups=still_present(photos, result))


def _journal_name() -> Path:
    return Path(f"lookalike-{datetime.now():%Y%m%d-%H%M%S}.jsonl")


def _references(folders: list[str] | None) -> list[str]:
    """Return the reference folders. Raises BadQuery for a missing one, whose files would not be protected."""
    for folder in folders or ():
        if not os.path.isdir(os.path.expanduser(folder)):
            raise BadQuery(
                f"the reference folder {folder} does not exist; check the spelling and that the drive is connected"
            )
    return folders or []


@contextmanager
def _open_reference(location: str | None, photos: "Collection") -> "Iterator[Collection | None]":
    """Yield the reference collection at a location, or an in-memory collection of a folder's images."""
    from lookalike.search import Collection, open_collection

    if location is None:
        yield None
        return
    if "://" in location or os.path.isdir(os.path.join(os.path.expanduser(location), "images.lance")):
        opened = open_collection(location, create=False, read_only=True)
    elif os.path.exists(os.path.expanduser(location)):
        opened = Collection.open("memory:", model=photos.embedder)
        report = opened.sync([location])
        log(f"{report.added:,} reference images in {location}, {len(report.failed):,} skipped")
    else:
        raise SourceError(f"{location} is neither a collection nor a folder; check the spelling")
    with opened:
        yield opened


def _store_decisions(
    decisions: "Decisions",
    not_a_copy: tuple[str, str] | None,
    keep_both: tuple[str, str] | None,
    forget: tuple[str, str] | None,
) -> None:
    for pair, verdict in ((not_a_copy, "not-a-copy"), (keep_both, "keep-both")):
        if pair:
            decision = decisions.decide(*pair, verdict)
            log(f"decided: {decision.first_name} and {decision.second_name}: {verdict}")
    if forget:
        log("decision removed" if decisions.forget(*forget) else "there is no decision about these two")


def _store_choices(choices: "KeepChoices", keep: list[str], forget: list[str]) -> None:
    for name in keep:
        log(f"chosen: {choices.choose(name).name} is always kept before its copies")
    for name in forget:
        log("choice removed" if choices.forget(name) else f"{name} was not chosen")


def _import_decisions(decisions: "Decisions", choices: "KeepChoices", file: str) -> None:
    """Import a file that the page saved: decisions about pairs, and choices of images to keep."""
    from lookalike.duplicates import as_decision, as_keep_choice

    new_decisions, new_choices = [], []
    for location, values in _read_objects(file):
        try:
            if "keep" in values:
                new_choices.append(as_keep_choice(values))
            else:
                new_decisions.append(as_decision(values))
        except BadQuery as error:
            raise BadQuery(f"{location}: {error}") from error

    log(f"{counted(decisions.add(new_decisions) + choices.add(new_choices), 'decision')} imported")


def _read_objects(file: str) -> "list[tuple[str, dict[str, object]]]":
    """Return each object with its location in the file, for error messages."""
    try:
        text = sys.stdin.read() if file == "-" else expanded(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadQuery(f"{file} cannot be read ({getattr(error, 'strerror', None) or 'it is not text'})") from error
    name = "stdin" if file == "-" else file
    if text.lstrip().startswith("["):
        values = _parse_json(text, name)
        objects = [(f"{name}, decision {number}", value) for number, value in enumerate(values, 1)]
    else:
        lines = [(f"{name}, line {number}", line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        objects = [(location, _parse_json(line, location)) for location, line in lines]
    for location, value in objects:
        if not isinstance(value, dict):
            raise BadQuery(f"{location} is not a decision; give the file that the page saved")
    return objects


def _parse_json(text: str, location: str) -> Any:
    try:
        return jsonlib.loads(text)
    except ValueError as error:
        raise BadQuery(f"{location} is not JSON ({error}); give the file that the page saved") from error


def _print_decisions(decisions: "Decisions", choices: "KeepChoices") -> None:
    from dataclasses import asdict

    for decision in decisions.all():
        print_json(asdict(decision))
    for choice in choices.all():
        print_json(asdict(choice))


def _write_page(
    result: "Duplicates",
    path: Path,
    photos: "Collection",
    reference_collection: "Collection | None",
    group_options: list[str],
) -> None:
    """Write the review page. `group_options`: the command-line options that find the same groups again."""
    from lookalike.duplicates.review.accepted import apply_command
    from lookalike.duplicates.review.page import write_page

    command = f"lookalike duplicates -c {shlex.quote(photos.uri)} --decisions decisions.jsonl"
    apply = apply_command(photos.uri, group_options, journal=str(_journal_name()))
    shown = write_page(
        result,
        path,
        photos.thumbnails,
        command=command,
        apply_command=apply,
        reference_thumbnails=reference_collection.thumbnails if reference_collection is not None else None,
    )
    log(f"written: {path}, {counted(shown, 'group')} to review")


def _save_for_server(result: "Duplicates", photos: "Collection") -> str | None:
    """Save the groups for `lookalike serve`. Returns the time of the search; None if the collection is not writable."""
    from lookalike.duplicates.review.saved_groups import save_duplicates

    try:
        return save_duplicates(photos, result)
    except (ReadOnly, StoreFailed) as error:
        log(f"the groups were not saved for lookalike serve: {error}")
        return None


def _print_groups(result: "Duplicates", *, as_json: bool) -> None:
    from lookalike.duplicates.review.export import as_object

    for number, group in enumerate(result.groups, 1):
        if as_json:
            print_json(as_object(number, group))
        else:
            print_row(f"{number:>4}  keep       {_keep_line(group)}")
            for extra in group.extras:
                print_row(_extra_line(extra))


def _extra_line(extra: "Extra") -> str:
    notes = "; which of the two is the original is uncertain" if extra.unsure else ""
    notes += f"; {extra.blocked_reason}" if extra.blocked_reason else ""
    if extra.companions:
        notes += f"; with {', '.join(map(os.path.basename, extra.companions))}"
    name = str(extra.metadata.get("path") or extra.id)
    why = f"{percent(extra.probability)}: {extra.words}; the kept image {extra.reason}{notes}"
    return f"      {extra.relation:<9}  {name}  ({why})"


def _keep_line(group: "DuplicateGroup") -> str:
    facts = group.keep.metadata
    size = f"  ({facts['width']!s} × {facts['height']!s}, {facts['format']!s})" if facts.get("width") else ""
    name = str(facts.get("path") or group.keep.id)
    return f"{name}{size}"


def _print_summary(result: "Duplicates", action: "Action | None", uri: str, page: Path | None) -> None:
    extras = [extra for group in result.groups for extra in group.extras]
    companions = sum(len(extra.companions) for extra in extras)
    total = bytes_text(sum(int(extra.metadata.get("size") or 0) for extra in extras))
    log(
        f"{counted(len(result), 'group')} with {counted(len(extras), 'extra')} ({total}) "
        f"among {counted(result.pictures, 'image')} "
        f"in {result.seconds:.1f} s"
    )
    if companions:
        log(f"{counted(companions, 'companion')} (live photos' videos, sidecars): moved along with their images")
    if result.decided:
        log(f"{counted(result.decided, 'pair')} left out because of your decisions")
    if result.absent:
        log(
            f"{counted(len(result.absent), 'image')} left out because the files no longer exist; "
            f"update the collection with: lookalike index -c {uri}"
        )
    if result.without_details:
        log("there are too many images to compare local features: small crops and free rotations may be missing")
    if result.truncated:
        log(f"{result.truncated:,} images have more candidates than could be compared; raise --min-score to have fewer")
    if extras and action is None:
        review = f"review {page}" if page else "review the groups with --page review.html"
        log(f"no file was changed; {review}, then remove the extras with --apply trash")


def _apply_action(result: "Duplicates", action: "Action", journal: Path, uri: str, *, as_json: bool) -> None:
    from lookalike.duplicates import apply_steps, plan_steps

    steps, skipped = plan_steps(result.groups, action)
    failed = 0
    if not steps:
        log("there are no files to remove")
    else:
        remains = f"interrupted; put back what was removed with: lookalike undo {journal}"
        with interrupt_text(remains), ProgressLine("files") as progress:
            applied = apply_steps(steps, action, journal, collection=uri, progress=progress)
        skipped += applied.skipped
        failed = len(applied.skipped)
        companions_text = f" and {counted(len(applied.companions), 'companion')}" if applied.companions else ""
        removed = f"{counted(len(applied.done), 'file')}{companions_text} ({bytes_text(applied.moved_bytes)})"
        log(f"{removed} removed with {action.text}, recorded in {journal}")
        log(f"to undo: lookalike undo {journal}; to update the collection: lookalike index -c {uri}")
        if as_json:
            for step in applied.done:
                companions = [each.path for each in applied.companions if each.companion_of == step.number]
                print_json({"path": step.path, "done": True, "reason": "", "companions": companions})
    for file in skipped:
        if as_json:
            print_json({"path": file.path, "done": False, "reason": file.reason, "companions": []})
        else:
            log(f"skipped: {file.path} {file.reason}")
    if failed:
        log(f"{counted(failed, 'file')} could not be removed; the journal lists those that were")
        raise typer.Exit(1)
