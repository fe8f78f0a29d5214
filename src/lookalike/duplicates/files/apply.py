"""Take extras away: to the trash, to a folder, or as hard links; each file is checked right before it is touched.

What belongs to a picture (companions.py) goes to the trash or the folder before it does: all of them go, or none.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from lookalike.duplicates.files import trash
from lookalike.duplicates.files.journal import Journal, Step, new_header
from lookalike.duplicates.files.moves import link_over, move_file, same_inode, sha256_of
from lookalike.duplicates.files.restore import put_back
from lookalike.errors import BadQuery, nearest
from lookalike.image import to_path, to_text

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
    """What was done. `companions`: the files that went along with those of `done`. `moved_bytes`: of all of them."""

    done: list[Step] = field(default_factory=list)
    companions: list[Step] = field(default_factory=list)
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
    companions: dict[int, list[Step]] = {}
    for step in steps:
        if step.companion_of >= 0:
            companions.setdefault(step.companion_of, []).append(step)
    pictures = [step for step in steps if step.companion_of < 0]
    with Journal.create(journal, new_header(action.text, collection), steps) as notes:
        for done, step in enumerate(pictures, 1):
            along = _without_shared(companions.get(step.number, []), applied, notes)
            reason = why_not(step, action, hashes=hashes) or _why_not_along(along, action)
            if reason:
                for one in (*along, step):
                    notes.note(one.number, "left", reason)
            else:
                reason = _take([*along, step], action, applied, notes)
            if reason:
                applied.left.append(Left(step.path, reason))
            else:
                applied.done.append(step)
                applied.companions += along
                applied.moved_bytes += sum(one.size for one in (*along, step))
            if progress:
                progress(done, len(pictures))
    return applied


def _without_shared(along: Sequence[Step], applied: Applied, notes: Journal) -> list[Step]:
    """The companions without those that belong to a picture that was to go before, and is there still."""
    free = []
    for step in along:
        owner = next((path for path in step.owners if os.path.lexists(to_path(path))), None)
        if owner is None:
            free.append(step)
        else:
            applied.left.append(Left(step.path, f"belongs to {owner} too, which stays"))
            notes.note(step.number, "left", applied.left[-1].reason)
    return free


def _take(steps: Sequence[Step], action: Action, applied: Applied, notes: Journal) -> str:
    """Take companions and then their picture away. Why it failed, "" when it is done; then all are back."""
    done: list[tuple[Step, str]] = []
    for step in steps:
        notes.note(step.number, "begin")
        reason = _touch(step, action)
        if not reason:
            done.append((step, _where(step, action)))
            notes.note(step.number, "done", done[-1][1])
            continue
        reason = of_companion(step, reason) if step.companion_of >= 0 else reason
        for one in steps[len(done) :]:
            notes.note(one.number, "left", reason)
        for one, where in reversed(done):
            _, problem = put_back(one, action.text, where)
            if problem:  # noted as done, so that undo tries again
                applied.left.append(Left(one.path, f"was taken away, and {problem}; its picture stays"))
            else:
                notes.note(one.number, "left", reason)
        return reason
    return ""


def why_not(step: Step, action: Action, *, hashes: dict[tuple[str, int, int], str] | None) -> str:
    """Why this file must stay, "" when it may be touched. `hashes`: known ones of kept files; None: do not hash yet."""
    path, keep = to_path(step.path), to_path(step.keep)
    try:
        return (
            unlike_plan(path, step)
            or _linked_folder(path, step)
            or _keep_is_gone(keep, path)
            or ("" if hashes is None else _unlike_hash(path, step, keep, hashes))
            or (
                "is on another disk than the one kept: a hard link cannot be made" if _apart(keep, path, action) else ""
            )
        )
    except (OSError, ValueError) as error:
        return f"cannot be looked at ({reason_of(error)})"


def _why_not_along(along: Iterable[Step], action: Action) -> str:
    """Why one of a picture's companions must stay, and so the picture too."""
    for step in along:
        path = to_path(step.path)
        try:
            reason = unlike_plan(path, step) or _linked_folder(path, step) or _unlike_bytes(path, step)
            if not reason and action.kind == "move" and os.path.lexists(to_path(step.target)):
                reason = f"cannot be taken away (there is a file {step.target} already)"
        except (OSError, ValueError) as error:
            reason = f"cannot be looked at ({reason_of(error)})"
        if reason:
            return of_companion(step, reason)
    return ""


def of_companion(step: Step, reason: str) -> str:
    """The reason for a picture to stay, from that of its companion."""
    return f"stays, since {step.path}, which belongs to it, {reason}"


def unlike_plan(path: str, step: Step) -> str:
    """Why the file is not what the step says, as far as its state tells; "" when it is."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return "is not there any more"
    if stat.S_ISLNK(status.st_mode):
        return f"is a link to {to_text(os.readlink(path))}: links are left"
    if not stat.S_ISREG(status.st_mode):
        return "is not a file any more"
    if (status.st_size, status.st_mtime_ns) != (step.size, step.mtime_ns):
        return _changed(step)
    return ""


def _changed(step: Step) -> str:
    if step.companion_of >= 0:
        return "has changed since the plan was made; look again"
    return "has changed since it was indexed; run lookalike index and look again"


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
    return _unlike_bytes(path, step)


def _unlike_bytes(path: str, step: Step) -> str:
    before = os.lstat(path)
    return _changed(step) if sha256_of(path) != step.sha256 or _moment(os.lstat(path)) != _moment(before) else ""


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
            return f"cannot be put into the trash ({reason_of(error)}); use --apply move:FOLDER instead"
        return f"cannot be taken away ({reason_of(error)})"
    if action.kind == "trash" and os.path.lexists(path):
        return "is still there: the trash did not take it; use --apply move:FOLDER instead"
    return ""


def _where(step: Step, action: Action) -> str:
    if action.kind == "trash":
        found = trash.find(to_path(step.path), step.sha256)
        return to_text(found[0]) if found else ""
    return step.target if action.kind == "move" else step.keep


def reason_of(error: BaseException) -> str:
    """Why the system refused, in a few words."""
    if isinstance(error, PermissionError) or getattr(error, "errno", None) in (errno.EACCES, errno.EPERM):
        return "permission denied"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
