"""Plan an action on extras: a step for each file that moves, with its target name. No file is touched."""

import os
import secrets
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from lookalike.duplicates.files.apply import (
    Action,
    SkippedFile,
    changed_reason,
    companion_reason,
    os_error_reason,
    skip_reason,
)
from lookalike.duplicates.files.companions import Companion, Companions
from lookalike.duplicates.files.journal import Step
from lookalike.duplicates.files.moves import is_file, sha256_of
from lookalike.duplicates.search.collection_arrays import is_link
from lookalike.image import to_path, to_text
from lookalike.types import DuplicateGroup, Extra, Hit


def plan_steps(groups: Iterable[DuplicateGroup], action: Action) -> tuple[list[Step], list[SkippedFile]]:
    """Return the steps of an action, and the files that it skips. No file is touched.

    Each extra has a step, right after the steps of its companions, which are hashed here.
    """
    steps: list[Step] = []
    skipped: list[SkippedFile] = []
    for group in groups:
        twins: dict[str, Hit | Extra] = {}
        link_targets = {} if action.kind == "hardlink" else _link_targets(group)
        for extra in group.extras:
            keep = _keep_of(group, extra, action, twins)
            step = _step(keep, extra)
            reason = extra.blocked_reason or _unsuitable_reason(keep, extra, action)
            if not reason:
                step = _with_file_state(step)
                reason = skip_reason(step, action, hashes=None) or link_targets.get(step.path, "")
            if reason:
                skipped.append(SkippedFile(step.path or extra.id, reason))
            else:
                steps.append(step)
    images = [_ImageSteps(step) for step in steps] if action.kind == "hardlink" else _with_companions(steps, skipped)
    return _with_targets(images, action), skipped


def _keep_of(group: DuplicateGroup, extra: Extra, action: Action, twins: dict[str, Hit | Extra]) -> Hit | Extra:
    """Return what is kept instead of an extra: the group's `keep`, or for a hard link an extra with the same bytes."""
    digest = str(extra.metadata.get("sha256") or "")
    if action.kind != "hardlink" or not digest or digest == group.keep.metadata.get("sha256"):
        return group.keep
    if digest not in twins and not extra.blocked_reason and is_file(to_path(str(extra.metadata.get("path") or ""))):
        twins[digest] = extra
        return group.keep
    return twins.get(digest, group.keep)


def _link_targets(group: DuplicateGroup) -> dict[str, str]:
    """Return the reason to skip each path that is the target of a link in the group: the link would dangle."""
    members: list[Hit | Extra] = [group.keep, *group.extras]
    paths = [str(member.metadata.get("path") or "") for member in members]
    links = [path for path in paths if is_link(path)]
    link_of = {os.path.realpath(to_path(link)): link for link in links}
    real_paths = {path: os.path.realpath(to_path(path)) for path in paths if link_of and path and path not in links}
    return {
        path: f"is the target of {link_of[real_path]}, a link"
        for path, real_path in real_paths.items()
        if real_path in link_of
    }


def _step(keep: Hit | Extra, extra: Extra) -> Step:
    facts = extra.metadata
    return Step(
        number=-1,
        path=str(facts.get("path") or ""),
        keep=str(keep.metadata.get("path") or ""),
        sha256=str(facts.get("sha256") or ""),
        keep_sha256=str(keep.metadata.get("sha256") or ""),
        size=int(facts.get("size") or 0),
        mtime_ns=int(facts.get("mtime_ns") or 0),
        root=str(facts.get("root") or ""),
    )


def _unsuitable_reason(keep: Hit | Extra, extra: Extra, action: Action) -> str:
    if extra.metadata.get("reference"):
        return "is in a reference folder"
    if not keep.metadata.get("path") or not is_file(os.path.realpath(to_path(str(keep.metadata["path"])))):
        return f"is the last accessible copy; the kept file is {keep.id}"
    if action.kind == "hardlink" and extra.metadata.get("sha256") != keep.metadata.get("sha256"):
        return "differs from the kept file, so a hard link would replace its content"
    return ""


def _with_file_state(step: Step) -> Step:
    """Return the step with the device, inode and permissions of its file."""
    try:
        status = os.lstat(to_path(step.path))
    except OSError:
        return step
    return replace(step, device=status.st_dev, inode=status.st_ino, mode=stat.S_IMODE(status.st_mode))


@dataclass(frozen=True, slots=True)
class _ImageSteps:
    """The step of an image, and those of its companions, each with the part of its name after the image's stem."""

    image: Step
    companions: Sequence[tuple[Step, str]] = ()


def _with_companions(steps: Sequence[Step], skipped: list[SkippedFile]) -> list[_ImageSteps]:
    """Add the steps of companions. An image is skipped if one of its companions cannot be moved.

    A skipped image keeps companions that it shares with others, so the others are planned again.
    """
    companions, known = Companions(), dict[str, Step]()
    while True:
        moving = {to_path(step.path): position for position, step in enumerate(steps)}
        images = []
        for step in steps:
            try:
                own = companions.of(to_path(step.path), moving)
                images.append(_ImageSteps(step, [(_companion_step(step, each, known), each.tail) for each in own]))
            except OSError as error:
                reason = f"stays, because its companions cannot be listed ({os_error_reason(error)})"
                skipped.append(SkippedFile(step.path, reason))
            except _CompanionSkipped as error:
                skipped.append(SkippedFile(step.path, str(error)))
        if len(images) == len(steps):
            return images
        steps = [each.image for each in images]


class _CompanionSkipped(Exception):
    """Raised with the reason why the companion's image is skipped."""


def _companion_step(image: Step, companion: Companion, known: dict[str, Step]) -> Step:
    path, text = companion.path, to_text(companion.path)
    if path not in known:
        step = Step(
            number=-1,
            path=text,
            keep=image.keep,
            sha256="",
            keep_sha256=image.keep_sha256,
            size=0,
            mtime_ns=0,
            root=image.root,
            companion_of=0,
        )
        try:
            status = os.lstat(path)
            step = replace(_with_file_state(step), size=status.st_size, mtime_ns=status.st_mtime_ns)
            if reason := changed_reason(path, step):
                raise _CompanionSkipped(companion_reason(step, reason))
            known[path] = replace(step, sha256=sha256_of(path))
        except OSError as error:
            raise _CompanionSkipped(companion_reason(step, f"cannot be read ({os_error_reason(error)})")) from error
    return replace(known[path], owners=tuple(map(to_text, companion.owners)))


def _with_targets(images: Iterable[_ImageSteps], action: Action) -> list[Step]:
    """Return all steps, numbered, with their target and temporary names."""
    token, reserved, steps = secrets.token_hex(4), set[str](), list[Step]()
    for image in images:
        image_number = len(steps) + len(image.companions)
        members = [replace(step, companion_of=image_number) for step, _ in image.companions] + [image.image]
        targets = _targets(image, action, reserved) if action.kind == "move" else [""] * len(members)
        for step, target in zip(members, targets, strict=True):
            temp_path = os.path.join(os.path.dirname(target or to_path(step.path)), f".lookalike-{token}-{len(steps)}")
            steps.append(replace(step, number=len(steps), target=to_text(target), temp_path=to_text(temp_path)))
    return steps


def _targets(steps: _ImageSteps, action: Action, reserved: set[str]) -> list[str]:
    """Return free target paths for companions and, last, their image; all have one stem, with a number if needed."""
    image_target = _image_target(steps.image, action)
    folder, (stem, extension) = os.path.dirname(image_target), os.path.splitext(image_target)
    targets = [os.path.join(folder, os.path.basename(to_path(step.path))) for step, _ in steps.companions]
    targets.append(image_target)
    number = 1
    while any(target in reserved or os.path.lexists(target) for target in targets):
        number += 1
        targets = [f"{stem} ({number}){tail}" for tail in (*(tail for _, tail in steps.companions), extension)]
    reserved.update(targets)
    return targets


def _image_target(step: Step, action: Action) -> str:
    """Return FOLDER/name of the indexed folder/path below it, or FOLDER/name for a file that was indexed by itself."""
    path, root = to_path(step.path), to_path(step.root)
    below = os.path.relpath(path, root) if root and PurePath(path).is_relative_to(root) else os.path.basename(path)
    return (
        os.path.join(action.folder, os.path.basename(root.rstrip("/\\")), below)
        if root
        else os.path.join(action.folder, below)
    )
