"""Take extras away: to the trash, to a folder, or as hard links; each file is checked right before it is touched."""

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from lookalike.cluster.duplicates import trash
from lookalike.cluster.duplicates.journal import Journal, Step, new_header
from lookalike.cluster.duplicates.moving import is_file, link_over, move_file, same_inode, sha256_of
from lookalike.cluster.duplicates.rows import is_link
from lookalike.errors import BadQuery, nearest
from lookalike.image import to_path, to_text
from lookalike.types import DuplicateGroup, Extra, Hit

ACTIONS = ("trash", "move", "hardlink")


@dataclass(frozen=True, slots=True)
class Action:
    """What happens to extras. `folder`: where moved files go, absolute."""

    kind: str
    folder: str = ""

    @property
    def text(self) -> str:
        return f"move:{to_text(self.folder)}" if self.kind == "move" else self.kind


@dataclass(frozen=True, slots=True)
class Left:
    """A file that was not touched, and why."""

    path: str
    reason: str


@dataclass(slots=True)
class Applied:
    """What was done. `moved_bytes`: of the files taken away."""

    done: list[Step] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    moved_bytes: int = 0


def parse_action(text: str, roots: Iterable[str] = ()) -> Action:
    """trash, move:DIR or hardlink. Raises BadQuery, also for a DIR inside a folder that is indexed."""
    kind, _, folder = text.partition(":")
    if kind not in ACTIONS:
        raise BadQuery(f"{text!r} is nothing that can be done to extras; {nearest(kind, ACTIONS)} (move:FOLDER)")
    if kind != "move":
        return Action(kind)
    if not folder:
        raise BadQuery("move needs a folder: --apply move:FOLDER")
    place = os.path.abspath(os.path.expanduser(folder))
    for root in roots:
        if os.path.realpath(place) == (top := os.path.realpath(to_path(root))) or PurePath(
            os.path.realpath(place)
        ).is_relative_to(top):
            raise BadQuery(
                f"{folder} lies inside {root}, which is indexed: the extras would be found again; name a folder outside"
            )
    return Action(kind, place)


def plan_steps(groups: Iterable[DuplicateGroup], action: Action) -> tuple[list[Step], list[Left]]:
    """What would be done, and what would be left with its reason; nothing is touched."""
    steps: list[Step] = []
    left: list[Left] = []
    token, taken = secrets.token_hex(4), set[str]()
    for group in groups:
        twins: dict[str, Hit | Extra] = {}
        leads = {} if action.kind == "hardlink" else _where_links_lead(group)
        for extra in group.extras:
            keep = _keeper(group, extra, action, twins)
            step = _step(len(steps), keep, extra, token)
            reason = extra.left or _unfit(keep, extra, action)
            if not reason:
                step = _with_place(step, action, taken)
                reason = why_not(step, action, hashes=None) or leads.get(step.path, "")
            if reason:
                left.append(Left(step.path or extra.id, reason))
            else:
                steps.append(step)
    return steps, left


def apply_steps(
    steps: Sequence[Step],
    action: Action,
    journal: str | Path,
    *,
    collection: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> Applied:
    """Do it. The journal with the whole plan is on the disk before the first file is touched.

    A file that cannot be taken away stays and is listed; the others go on. Raises JournalError, before anything more
    is touched, when the journal cannot be written.
    """
    applied, hashes = Applied(), dict[tuple[str, int, int], str]()
    with Journal.create(journal, new_header(action.text, collection), steps) as notes:
        for done, step in enumerate(steps, 1):
            reason = why_not(step, action, hashes=hashes)
            if not reason:
                notes.note(step.number, "begin")
                reason = _touch(step, action)
            if reason:
                applied.left.append(Left(step.path, reason))
                notes.note(step.number, "left", reason)
            else:
                applied.done.append(step)
                applied.moved_bytes += step.size
                notes.note(step.number, "done", _where(step, action))
            if progress:
                progress(done, len(steps))
    return applied


def why_not(step: Step, action: Action, *, hashes: dict[tuple[str, int, int], str] | None) -> str:
    """Why this file must stay, "" when it may be touched. `hashes`: known ones of kept files; None: do not hash yet."""
    path, keep = to_path(step.path), to_path(step.keep)
    try:
        return (
            _unlike_plan(path, step)
            or _linked_folder(path, step)
            or _keep_is_gone(keep, path)
            or ("" if hashes is None else _unlike_hash(path, step, keep, hashes))
            or (
                "is on another disk than the one kept: a hard link cannot be made" if _apart(keep, path, action) else ""
            )
        )
    except (OSError, ValueError) as error:
        return f"cannot be looked at ({_reason(error)})"


def _unlike_plan(path: str, step: Step) -> str:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return "is not there any more"
    if stat.S_ISLNK(status.st_mode):
        return f"is a link to {to_text(os.readlink(path))}: links are left"
    if not stat.S_ISREG(status.st_mode):
        return "is not a file any more"
    if (status.st_size, status.st_mtime_ns) != (step.size, step.mtime_ns):
        return "has changed since it was indexed; run lookalike index and look again"
    return ""


def _linked_folder(path: str, step: Step) -> str:
    """A folder below the indexed one that is a link: its files belong to another place."""
    root = to_path(step.root) if step.root else os.path.dirname(path)
    folder = os.path.dirname(path)
    while folder.startswith(root) and len(folder) > len(root):
        if os.path.islink(folder):
            return f"lies in {to_text(folder)}, a link to {to_text(os.readlink(folder))}: what links lead to is left"
        folder = os.path.dirname(folder)
    return ""


def _keep_is_gone(keep: str, path: str) -> str:
    if not os.path.isfile(keep):
        return f"is the last copy: the one to keep, {to_text(keep)}, is not there"
    if same_inode(keep, path):
        return f"is the same file on disk as {to_text(keep)} (a hard link): taking it away frees nothing"
    if os.path.islink(keep):
        return f"is the last file: the one to keep, {to_text(keep)}, is a link to {to_text(os.readlink(keep))}"
    return ""


def _unlike_hash(path: str, step: Step, keep: str, hashes: dict[tuple[str, int, int], str]) -> str:
    status = os.stat(keep)
    key = (keep, status.st_mtime_ns, status.st_size)
    if key not in hashes:
        hashes[key] = sha256_of(os.path.realpath(keep))
    if step.keep_sha256 and hashes[key] != step.keep_sha256:
        return f"stays, since the one to keep, {to_text(keep)}, has changed; run lookalike index and look again"
    before = os.lstat(path)
    if sha256_of(path) != step.sha256 or _moment(os.lstat(path)) != _moment(before):
        return "has changed since it was indexed; run lookalike index and look again"
    return ""


def _apart(keep: str, path: str, action: Action) -> bool:
    return action.kind == "hardlink" and os.stat(keep).st_dev != os.lstat(path).st_dev


def _moment(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _touch(step: Step, action: Action) -> str:
    """Why it failed, "" when it is done."""
    path = to_path(step.path)
    try:
        if action.kind == "trash":
            trash.put(path)
        elif action.kind == "move":
            move_file(path, to_path(step.target), to_path(step.aside), step.sha256)
        else:
            link_over(to_path(step.keep), path, to_path(step.aside))
    except Exception as error:  # send2trash raises what its platform raises
        if action.kind == "trash":
            return f"cannot be put into the trash ({_reason(error)}); use --apply move:FOLDER instead"
        return f"cannot be taken away ({_reason(error)})"
    if action.kind == "trash" and os.path.lexists(path):
        return "is still there: the trash did not take it; use --apply move:FOLDER instead"
    return ""


def _where(step: Step, action: Action) -> str:
    if action.kind == "trash":
        found = trash.find(to_path(step.path), step.sha256)
        return to_text(found[0]) if found else ""
    return step.target if action.kind == "move" else step.keep


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


def _step(number: int, kept: Hit | Extra, extra: Extra, token: str) -> Step:
    keep, facts = kept.metadata, extra.metadata
    return Step(
        number=number,
        path=str(facts.get("path") or ""),
        keep=str(keep.get("path") or ""),
        sha256=str(facts.get("sha256") or ""),
        keep_sha256=str(keep.get("sha256") or ""),
        size=int(facts.get("size") or 0),
        mtime_ns=int(facts.get("mtime_ns") or 0),
        root=str(facts.get("root") or ""),
        aside=f".lookalike-{token}-{number}",
    )


def _unfit(keep: Hit | Extra, extra: Extra, action: Action) -> str:
    if extra.metadata.get("reference"):
        return "lies in a reference folder"
    if not keep.metadata.get("path") or not is_file(os.path.realpath(to_path(str(keep.metadata["path"])))):
        return f"is the last copy that can be reached: the one to keep is {keep.id}"
    if action.kind == "hardlink" and extra.metadata.get("sha256") != keep.metadata.get("sha256"):
        return "does not hold the same bytes as the one kept: a hard link would replace its picture"
    return ""


def _with_place(step: Step, action: Action, taken: set[str]) -> Step:
    """The step with the file's state, and with the names that it will need."""
    from dataclasses import replace

    path = to_path(step.path)
    try:
        status = os.lstat(path)
    except OSError:
        return step
    target = _free(_moved_name(step, action), taken) if action.kind == "move" else ""
    beside = os.path.dirname(target or path)
    return replace(
        step,
        target=to_text(target),
        aside=to_text(os.path.join(beside, step.aside)),
        device=status.st_dev,
        inode=status.st_ino,
        mode=stat.S_IMODE(status.st_mode),
    )


def _moved_name(step: Step, action: Action) -> str:
    """FOLDER/name of the indexed folder/path below it, or FOLDER/name for a file that was indexed by itself."""
    path, root = to_path(step.path), to_path(step.root)
    below = os.path.relpath(path, root) if root and PurePath(path).is_relative_to(root) else os.path.basename(path)
    return (
        os.path.join(action.folder, os.path.basename(root.rstrip("/\\")), below)
        if root
        else os.path.join(action.folder, below)
    )


def _free(wanted: str, taken: set[str]) -> str:
    stem, ending = os.path.splitext(wanted)
    number, target = 1, wanted
    while target in taken or os.path.lexists(target):
        number += 1
        target = f"{stem} ({number}){ending}"
    taken.add(target)
    return target


def _reason(error: BaseException) -> str:
    if isinstance(error, PermissionError) or getattr(error, "errno", None) in (errno.EACCES, errno.EPERM):
        return "permission denied"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
