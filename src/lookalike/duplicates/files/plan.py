"""What would be done to extras: a step for each file that goes, with the names it needs; nothing is touched."""

import os
import secrets
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from lookalike.duplicates.files.apply import Action, Left, of_companion, reason_of, unlike_plan, why_not
from lookalike.duplicates.files.companions import Companion, Companions
from lookalike.duplicates.files.journal import Step
from lookalike.duplicates.files.moves import is_file, sha256_of
from lookalike.duplicates.search.collection_arrays import is_link
from lookalike.image import to_path, to_text
from lookalike.types import DuplicateGroup, Extra, Hit


def plan_steps(groups: Iterable[DuplicateGroup], action: Action) -> tuple[list[Step], list[Left]]:
    """What would be done, and what would be left with its reason; nothing is touched.

    A step for each extra, and right before it those of its companions, which are hashed here.
    """
    steps: list[Step] = []
    left: list[Left] = []
    for group in groups:
        twins: dict[str, Hit | Extra] = {}
        leads = {} if action.kind == "hardlink" else _where_links_lead(group)
        for extra in group.extras:
            keep = _keeper(group, extra, action, twins)
            step = _step(keep, extra)
            reason = extra.left or _unfit(keep, extra, action)
            if not reason:
                step = _with_state(step)
                reason = why_not(step, action, hashes=None) or leads.get(step.path, "")
            if reason:
                left.append(Left(step.path or extra.id, reason))
            else:
                steps.append(step)
    bundles = [_Bundle(step) for step in steps] if action.kind == "hardlink" else _with_companions(steps, left)
    return _placed(bundles, action), left


def _keeper(group: DuplicateGroup, extra: Extra, action: Action, twins: dict[str, Hit | Extra]) -> Hit | Extra:
    """What an extra is taken away for: the kept one, or, for a hard link, the first extra of the same bytes."""
    digest = str(extra.metadata.get("sha256") or "")
    if action.kind != "hardlink" or not digest or digest == group.keep.metadata.get("sha256"):
        return group.keep
    if digest not in twins and not extra.left and is_file(to_path(str(extra.metadata.get("path") or ""))):
        twins[digest] = extra
        return group.keep
    return twins.get(digest, group.keep)


def _where_links_lead(group: DuplicateGroup) -> dict[str, str]:
    """Paths of extras that a link of the group leads to, each with the reason to leave it: the link would dangle."""
    members: list[Hit | Extra] = [group.keep, *group.extras]
    paths = [str(one.metadata.get("path") or "") for one in members]
    links = [path for path in paths if is_link(path)]
    leads = {os.path.realpath(to_path(link)): link for link in links}
    real = {path: os.path.realpath(to_path(path)) for path in paths if leads and path and path not in links}
    return {path: f"is what {leads[place]}, a link, leads to" for path, place in real.items() if place in leads}


def _step(kept: Hit | Extra, extra: Extra) -> Step:
    keep, facts = kept.metadata, extra.metadata
    return Step(
        number=-1,
        path=str(facts.get("path") or ""),
        keep=str(keep.get("path") or ""),
        sha256=str(facts.get("sha256") or ""),
        keep_sha256=str(keep.get("sha256") or ""),
        size=int(facts.get("size") or 0),
        mtime_ns=int(facts.get("mtime_ns") or 0),
        root=str(facts.get("root") or ""),
    )


def _unfit(keep: Hit | Extra, extra: Extra, action: Action) -> str:
    if extra.metadata.get("reference"):
        return "lies in a reference folder"
    if not keep.metadata.get("path") or not is_file(os.path.realpath(to_path(str(keep.metadata["path"])))):
        return f"is the last copy that can be reached: the one to keep is {keep.id}"
    if action.kind == "hardlink" and extra.metadata.get("sha256") != keep.metadata.get("sha256"):
        return "does not hold the same bytes as the one kept: a hard link would replace its picture"
    return ""


def _with_state(step: Step) -> Step:
    """The step with the file's state."""
    try:
        status = os.lstat(to_path(step.path))
    except OSError:
        return step
    return replace(step, device=status.st_dev, inode=status.st_ino, mode=stat.S_IMODE(status.st_mode))


@dataclass(frozen=True, slots=True)
class _Bundle:
    """A picture's step, and its companions', each with what its name has behind the stem of the picture's."""

    picture: Step
    along: Sequence[tuple[Step, str]] = ()


def _with_companions(steps: Sequence[Step], left: list[Left]) -> list[_Bundle]:
    """Each step with those of its companions. What cannot go without one of them is left.

    A picture that is left keeps what it shares with others, so these are asked again.
    """
    companions, known = Companions(), dict[str, Step]()
    while True:
        going = {to_path(step.path): turn for turn, step in enumerate(steps)}
        bundles = []
        for step in steps:
            try:
                along = companions.of(to_path(step.path), going)
                bundles.append(_Bundle(step, [(_companion_step(step, one, known), one.tail) for one in along]))
            except OSError as error:
                left.append(Left(step.path, f"stays, since what belongs to it cannot be told ({reason_of(error)})"))
            except _CompanionStays as stays:
                left.append(Left(step.path, str(stays)))
        if len(bundles) == len(steps):
            return bundles
        steps = [one.picture for one in bundles]


class _CompanionStays(Exception):
    """With the reason for its picture to be left."""


def _companion_step(picture: Step, companion: Companion, known: dict[str, Step]) -> Step:
    path, text = companion.path, to_text(companion.path)
    if path not in known:
        step = Step(
            number=-1,
            path=text,
            keep=picture.keep,
            sha256="",
            keep_sha256=picture.keep_sha256,
            size=0,
            mtime_ns=0,
            root=picture.root,
            companion_of=0,
        )
        try:
            status = os.lstat(path)
            step = replace(_with_state(step), size=status.st_size, mtime_ns=status.st_mtime_ns)
            if reason := unlike_plan(path, step):
                raise _CompanionStays(of_companion(step, reason))
            known[path] = replace(step, sha256=sha256_of(path))
        except OSError as error:
            raise _CompanionStays(of_companion(step, f"cannot be looked at ({reason_of(error)})")) from error
    return replace(known[path], owners=tuple(map(to_text, companion.owners)))


def _placed(bundles: Iterable[_Bundle], action: Action) -> list[Step]:
    """All steps, numbered, with the names that they will need."""
    token, taken, steps = secrets.token_hex(4), set[str](), list[Step]()
    for one in bundles:
        picture = len(steps) + len(one.along)
        members = [replace(step, companion_of=picture) for step, _ in one.along] + [one.picture]
        targets = _targets(one, action, taken) if action.kind == "move" else [""] * len(members)
        for step, target in zip(members, targets, strict=True):
            aside = os.path.join(os.path.dirname(target or to_path(step.path)), f".lookalike-{token}-{len(steps)}")
            steps.append(replace(step, number=len(steps), target=to_text(target), aside=to_text(aside)))
    return steps


def _targets(one: _Bundle, action: Action, taken: set[str]) -> list[str]:
    """Free names for companions and, last, their picture: they have one stem there too, whatever number it needs."""
    target_name = _moved_name(one.picture, action)
    folder, (stem, ending) = os.path.dirname(target_name), os.path.splitext(target_name)
    targets = [os.path.join(folder, os.path.basename(to_path(step.path))) for step, _ in one.along] + [target_name]
    number = 1
    while any(target in taken or os.path.lexists(target) for target in targets):
        number += 1
        targets = [f"{stem} ({number}){tail}" for tail in (*(tail for _, tail in one.along), ending)]
    taken.update(targets)
    return targets


def _moved_name(step: Step, action: Action) -> str:
    """FOLDER/name of the indexed folder/path below it, or FOLDER/name for a file that was indexed by itself."""
    path, root = to_path(step.path), to_path(step.root)
    below = os.path.relpath(path, root) if root and PurePath(path).is_relative_to(root) else os.path.basename(path)
    return (
        os.path.join(action.folder, os.path.basename(root.rstrip("/\\")), below)
        if root
        else os.path.join(action.folder, below)
    )
