"""lookalike duplicates: groups with the one to keep; nothing is touched until --apply says so."""

import json as jsonlib
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from lookalike.cli.options import CollectionOption, JsonOption
from lookalike.cli.output import ProgressLine, log, print_json, print_row
from lookalike.errors import BadQuery, ReadOnly, SourceError, StoreFailed
from lookalike.text import bytes_text, counted, percent

if TYPE_CHECKING:
    from lookalike.duplicates import Action, Chosen, Decisions, Duplicates
    from lookalike.search import Collection
    from lookalike.types import DuplicateGroup, Extra


def duplicates(
    collection: CollectionOption = None,
    against: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="COLLECTION_OR_FOLDER",
            help="Find copies of these masters instead, which are kept and never touched.",
        ),
    ] = None,
    keep: Annotated[
        str,
        typer.Option(
            metavar="RULE,RULE...",
            help="What to keep, first rule first: largest, smallest, heaviest, lightest, oldest, newest, sharpest, "
            "upright, metadata, format, quality, name, path, in:FOLDER, not-in:FOLDER.",
        ),
    ] = "bare,largest,upright,metadata,format,quality,oldest,name,path",
    reference: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="DIR", help="A folder whose files are kept, whatever the rules; may be repeated."),
    ] = None,
    min_score: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=-1, max=1, help="Look only at pairs at least so alike. Default: by the calibration."),
    ] = None,
    probability: Annotated[float, typer.Option(min=0.01, max=1, help="What a copy must reach.")] = 0.9,
    where: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="CONDITION", help='Only images for which this holds: "width > 1000".'),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only copies whose whole frame is there: no crops, no rotations.")
    ] = False,
    no_turned: Annotated[bool, typer.Option("--no-turned", help="Do not look for turned copies.")] = False,
    page: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE.html", help="Write a page to review the groups."),
    ] = None,
    csv: Annotated[Optional[Path], typer.Option(metavar="FILE.csv", help="Write a row for each picture.")] = None,  # noqa: UP045
    last: Annotated[
        bool, typer.Option("--last", help="Take the groups that were found last, as lookalike serve shows them.")
    ] = False,
    found_at: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="MOMENT", help="With --last: only if they were found then, as the page tells."),
    ] = None,
    accepted_only: Annotated[
        bool, typer.Option("--accepted-only", help='Only extras whose pair was accepted (decided "copy").')
    ] = False,
    apply: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="trash|move:DIR|hardlink", help="Take the extras away. Without it nothing is touched."),
    ] = None,
    journal: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE.jsonl", help="Where to note what is done, for lookalike undo. A new file."),
    ] = None,
    not_a_copy: Annotated[
        Optional[tuple[str, str]],  # noqa: UP045
        typer.Option(metavar="A B", help="Decide that two pictures are no copies; remembered for ever."),
    ] = None,
    keep_both: Annotated[
        Optional[tuple[str, str]],  # noqa: UP045
        typer.Option(metavar="A B", help="Decide to keep two copies; remembered for ever."),
    ] = None,
    keep_this: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="A", help="Choose a picture to be kept, whatever the rules; remembered for ever."),
    ] = None,
    forget_this: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="A", help="Leave it to the rules again whether a picture is kept."),
    ] = None,
    forget: Annotated[
        Optional[tuple[str, str]],  # noqa: UP045
        typer.Option(metavar="A B", help="Take a decision about two pictures back."),
    ] = None,
    decisions: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="FILE", help="Take over decisions that the page saved; - for stdin."),
    ] = None,
    list_decisions: Annotated[
        bool, typer.Option("--list-decisions", help="Print all decisions, as --decisions reads them.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Find altered copies and say which to keep, and why. A dry run unless --apply is given."""
    from lookalike.duplicates import Chosen, Decisions, Options, accepted_groups, find_duplicates
    from lookalike.duplicates.review.accepted import last_options
    from lookalike.search import open_collection

    deciding = any((not_a_copy, keep_both, forget, keep_this, forget_this)) or decisions is not None
    if deciding and (apply or journal or page or csv or against):
        raise BadQuery("decide first, and look for duplicates in a second call: what is decided counts there")
    with open_collection(collection, create=False) as photos:
        if deciding or list_decisions:
            kept, chosen = Decisions(photos), Chosen(photos)
            _decide(kept, not_a_copy, keep_both, forget)
            _choose(chosen, keep_this or [], forget_this or [])
            if decisions is not None:
                _take_over(kept, chosen, decisions)
            if list_decisions:
                _list(kept, chosen)
            return
        action = _action(apply, journal, photos)
        again = _search_options(
            against, keep, reference, min_score, probability, where, quick=quick, turned=not no_turned
        )
        if last and again:
            raise BadQuery(
                f"--last takes the groups as they were found last, so {again[0]} changes nothing; leave it out"
            )
        options = Options(
            min_score=min_score,
            probability=probability,
            references=_references(reference),
            where=where,
            verify=not quick,
            turned=not no_turned,
        )
        if found_at is not None and not last:
            raise BadQuery("--found-at goes with --last: it says which search was looked at")
        with _masters(against, photos) as masters, ProgressLine("pictures") as progress:
            from dataclasses import replace

            when: str | None
            if last:
                when, found = _last(photos, found_at)
            else:
                found = find_duplicates(photos, keep=keep, against=masters, options=replace(options, progress=progress))
                when = _keep_for_page(found, photos) if masters is None and where is None else None
            if accepted_only:
                groups = accepted_groups(found, Decisions(photos).by_pair(), Chosen(photos).by_content())
                found = replace(found, groups=groups)
            if page:
                _page(found, page, photos, masters, again if when is None else last_options(when))
        if csv:
            from lookalike.duplicates.review.export import write_csv

            write_csv(found, csv)
            log(f"written: {csv}")
        _print(found, as_json=json)
        _summary(found, action, photos.uri, page)
        if action:
            _apply(found, action, journal or _journal_name(), photos.uri, as_json=json)


def _action(apply: str | None, journal: Path | None, photos: "Collection") -> "Action | None":
    from lookalike.duplicates import parse_action

    if apply is None:
        if journal:
            raise BadQuery("--journal goes with --apply; without it nothing is touched, and there is nothing to note")
        return None
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
    """What was typed about how to look, for a command that finds the same groups again."""
    from lookalike.duplicates.keep.rules import DEFAULT
    from lookalike.duplicates.search.find import PROBABILITY

    words = ["--against", against] if against is not None else []
    words += ["--keep", keep] if keep != ",".join(DEFAULT) else []
    words += [word for folder in reference or () for word in ("--reference", folder)]
    words += ["--min-score", f"{min_score:g}"] if min_score is not None else []
    words += ["--probability", f"{probability:g}"] if probability != PROBABILITY else []
    words += ["--where", where] if where is not None else []
    return words + ["--quick"] * quick + ["--no-turned"] * (not turned)


def _last(photos: "Collection", found_at: str | None) -> "tuple[str, Duplicates]":
    """When duplicates were looked for last, and what was found."""
    from dataclasses import replace

    from lookalike.duplicates.review.saved_groups import still_present, stored_duplicates

    stored = stored_duplicates(photos)
    if stored is None:
        raise BadQuery("nobody has looked for duplicates in this collection yet; leave --last out")
    when, found = stored
    if found_at is not None and found_at != when:
        raise BadQuery(f"somebody looked for duplicates again since {found_at}: at {when}; look at the groups again")
    return when, replace(found, groups=still_present(photos, found))


def _journal_name() -> Path:
    return Path(f"lookalike-{datetime.now():%Y%m%d-%H%M%S}.jsonl")


def _references(folders: list[str] | None) -> list[str]:
    """A reference folder that is not there is a mistake: its pictures would not be safe."""
    for folder in folders or ():
        if not os.path.isdir(os.path.expanduser(folder)):
            raise BadQuery(
                f"the reference folder {folder} is not there; check the spelling and that the drive is plugged in"
            )
    return folders or []


@contextmanager
def _masters(named: str | None, photos: "Collection") -> "Iterator[Collection | None]":
    """The collection named, or a folder's pictures in memory."""
    from lookalike.search import Collection, open_collection

    if named is None:
        yield None
        return
    if "://" in named or os.path.isdir(os.path.join(os.path.expanduser(named), "images.lance")):
        opened = open_collection(named, create=False, read_only=True)
    elif os.path.exists(os.path.expanduser(named)):
        opened = Collection.open("memory:", model=photos.embedder)
        report = opened.sync([named])
        log(f"{report.added:,} masters in {named}, {len(report.failed):,} skipped")
    else:
        raise SourceError(f"{named} is neither a collection nor a folder; check the spelling")
    with opened:
        yield opened


def _decide(
    kept: "Decisions",
    not_a_copy: tuple[str, str] | None,
    keep_both: tuple[str, str] | None,
    forget: tuple[str, str] | None,
) -> None:
    for pair, verdict in ((not_a_copy, "not-a-copy"), (keep_both, "keep-both")):
        if pair:
            made = kept.decide(*pair, verdict)
            log(f"decided: {made.first_name} and {made.second_name}: {verdict}")
    if forget:
        log("forgotten" if kept.forget(*forget) else "there was no decision about these two")


def _choose(chosen: "Chosen", keep: list[str], forget: list[str]) -> None:
    for name in keep:
        log(f"chosen: {chosen.choose(name).name} is kept before its copies, whatever the rules")
    for name in forget:
        log("forgotten" if chosen.forget(name) else f"{name} was not chosen")


def _take_over(kept: "Decisions", chosen: "Chosen", file: str) -> None:
    """What the page saved: verdicts about two pictures, and pictures to keep."""
    from lookalike.duplicates import as_decision, as_keep_choice

    verdicts, choices = [], []
    for place, values in _objects(file):
        try:
            if "keep" in values:
                choices.append(as_keep_choice(values))
            else:
                verdicts.append(as_decision(values))
        except BadQuery as error:
            raise BadQuery(f"{place}: {error}") from error

    log(f"{counted(kept.add(verdicts) + chosen.add(choices), 'decision')} taken over")


def _objects(file: str) -> "list[tuple[str, dict[str, object]]]":
    """Each object with the place that it was read from."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadQuery(f"{file} cannot be read ({getattr(error, 'strerror', None) or 'it is not text'})") from error
    name = "stdin" if file == "-" else file
    if text.lstrip().startswith("["):
        values = _parsed(text, name)
        found = [(f"{name}, decision {number}", value) for number, value in enumerate(values, 1)]
    else:
        lines = [(f"{name}, line {number}", line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        found = [(place, _parsed(line, place)) for place, line in lines]
    for place, value in found:
        if not isinstance(value, dict):
            raise BadQuery(f"{place} holds something else than a decision; give the file that the page saved")
    return found


def _parsed(text: str, place: str) -> Any:
    try:
        return jsonlib.loads(text)
    except ValueError as error:
        raise BadQuery(f"{place} is not JSON ({error}); give the file that the page saved") from error


def _list(kept: "Decisions", chosen: "Chosen") -> None:
    from dataclasses import asdict

    for decision in kept.all():
        print_json(asdict(decision))
    for choice in chosen.all():
        print_json(asdict(choice))


def _page(
    found: "Duplicates", path: Path, photos: "Collection", masters: "Collection | None", again: list[str]
) -> None:
    """`again`: the options that find the same groups again."""
    from lookalike.duplicates.review.accepted import apply_command
    from lookalike.duplicates.review.page import write_page

    command = f"lookalike duplicates -c {shlex.quote(photos.uri)} --decisions decisions.jsonl"
    of_masters = masters.thumbnails if masters is not None else None
    apply = apply_command(photos.uri, again, journal=str(_journal_name()))
    shown = write_page(found, path, photos.thumbnails, command=command, apply_command=apply, masters=of_masters)
    log(f"written: {path}, {counted(shown, 'group')} to review")


def _keep_for_page(found: "Duplicates", photos: "Collection") -> str | None:
    """So that `lookalike serve` shows them; whoever may not write to the collection has looked all the same.

    Returns the moment by which they are known, None where they could not be kept.
    """
    from lookalike.duplicates.review.saved_groups import keep_duplicates

    try:
        return keep_duplicates(photos, found)
    except (ReadOnly, StoreFailed) as error:
        log(f"not kept for the page of lookalike serve: {error}")
        return None


def _print(found: "Duplicates", *, as_json: bool) -> None:
    from lookalike.duplicates.review.export import as_object

    for number, group in enumerate(found.groups, 1):
        if as_json:
            print_json(as_object(number, group))
        else:
            print_row(f"{number:>4}  keep       {_named(group)}")
            for extra in group.extras:
                print_row(_line(extra))


def _line(extra: "Extra") -> str:
    left = "; cannot tell which is the original" if extra.unsure else ""
    left += f"; {extra.left}" if extra.left else ""
    if extra.companions:
        left += f"; with {', '.join(map(os.path.basename, extra.companions))}"
    name = str(extra.metadata.get("path") or extra.id)
    why = f"{percent(extra.probability)}: {extra.words}; other kept: {extra.reason}{left}"
    return f"      {extra.relation:<9}  {name}  ({why})"


def _named(group: "DuplicateGroup") -> str:
    facts = group.keep.metadata
    size = f"  ({facts['width']!s} × {facts['height']!s}, {facts['format']!s})" if facts.get("width") else ""
    name = str(facts.get("path") or group.keep.id)
    return f"{name}{size}"


def _summary(found: "Duplicates", action: "Action | None", uri: str, page: Path | None) -> None:

    extras = [extra for group in found.groups for extra in group.extras]
    companions = sum(len(extra.companions) for extra in extras)
    total = bytes_text(sum(int(extra.metadata.get("size") or 0) for extra in extras))
    log(
        f"{counted(len(found), 'group')} with {counted(len(extras), 'extra')} ({total}) "
        f"among {counted(found.pictures, 'picture')} "
        f"in {found.seconds:.1f} s"
    )
    if companions:
        beside = f"{counted(companions, 'companion')} (live photos' videos, sidecars) beside them"
        log(f"{beside}: trash and move take them along")
    if found.decided:
        log(f"{counted(found.decided, 'pair')} left alone, as you decided")
    if found.absent:
        log(f"{counted(len(found.absent), 'picture')} left out: not there now; run: lookalike index -c {uri}")
    if found.cut:
        log(
            f"{found.cut:,} pictures have more likely partners than were looked at; "
            "raise --min-score to narrow them down"
        )
    if extras and action is None:
        look = f"look at {page}" if page else "look with --page review.html"
        log(f"nothing was touched; {look}, then take the extras away with --apply trash")


def _apply(found: "Duplicates", action: "Action", journal: Path, uri: str, *, as_json: bool) -> None:
    from lookalike.duplicates import apply_steps, plan_steps

    steps, left = plan_steps(found.groups, action)
    failed = 0
    if not steps:
        log("there is nothing that could be taken away")
    else:
        with ProgressLine("files") as progress:
            applied = apply_steps(steps, action, journal, collection=uri, progress=progress)
        left += applied.left
        failed = len(applied.left)
        along = f" and {counted(len(applied.companions), 'companion')}" if applied.companions else ""
        gone = f"{counted(len(applied.done), 'file')}{along} ({bytes_text(applied.moved_bytes)})"
        log(f"{gone} taken away: {action.text}; journal: {journal}")
        log(f"take it back with: lookalike undo {journal}; tell the collection with: lookalike index -c {uri}")
        if as_json:
            for step in applied.done:
                along_with = [one.path for one in applied.companions if one.companion_of == step.number]
                print_json({"path": step.path, "done": True, "reason": "", "companions": along_with})
    for one in left:
        if as_json:
            print_json({"path": one.path, "done": False, "reason": one.reason, "companions": []})
        else:
            log(f"left: {one.path} {one.reason}")
    if failed:
        log(f"{counted(failed, 'file')} could not be taken away; what was, is in the journal")
        raise typer.Exit(1)
