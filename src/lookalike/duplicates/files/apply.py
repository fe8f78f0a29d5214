"""Apply an action to extras: move them to the trash or a folder, or replace them by hard links.

Each file is verified right before it is touched. The companions of an image (companions.py) are moved before it: all of
them, or none.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from lookalike.deprecation import renamed_property
from lookalike.duplicates.files import trash
from lookalike.duplicates.files.journal import Journal, Step, new_header
from lookalike.duplicates.files.moves import link_over, move_file, same_inode, sha256_of
from lookalike.duplicates.files.restore import restore_file
from lookalike.errors import BadQuery, nearest
from lookalike.image import to_path, to_text

ACTIONS = ("trash", "move", "hardlink")


@dataclass(frozen=True, slots=True)
class Action:
    """What to do with extras. `kind`: one of ACTIONS. `folder`: absolute path of the target folder of "move"."""

    kind: str
    folder: str = ""

    @property
    def text(self) -> str:
        """The action as `parse_action` reads it: its kind, for a move with `:FOLDER`."""
        return f"move:{to_text(self.folder)}" if self.kind == "move" else self.kind


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file that was not touched, and why."""

    path: str
    reason: str


@dataclass(slots=True)
class ApplyResult:
    """`done`: steps of images that were executed. `companions`: those of their companions. `moved_bytes`: of both.

    `skipped`: files that were not touched.
    """

    done: list[Step] = field(default_factory=list)
    companions: list[Step] = field(default_factory=list)
    skipped: list[SkippedFile] = field(default_factory=list)
    moved_bytes: int = 0

    left = renamed_property("left", "skipped")


def parse_action(text: str, roots: Iterable[str] = ()) -> Action:
    """Parse "trash", "move:DIR" or "hardlink". Raises BadQuery, also for a DIR inside an indexed folder."""
    kind, _, folder = text.partition(":")
    if kind not in ACTIONS:
        raise BadQuery(f"{text!r} is not an action for extras; {nearest(kind, ACTIONS)} (move:FOLDER)")
    if kind != "move":
        return Action(kind)
    if not folder:
        raise BadQuery("move needs a folder: --apply move:FOLDER")
    target = os.path.abspath(os.path.expanduser(folder))
    for root in roots:
        if os.path.realpath(target) == (top := os.path.realpath(to_path(root))) or PurePath(
            os.path.realpath(target)
        ).is_relative_to(top):
            raise BadQuery(
                f"{folder} is inside {root}, which is indexed, so extras would be found again; name a folder outside"
            )
    return Action(kind, target)


def apply_steps(
    steps: Sequence[Step],
    action: Action,
    journal: str | Path,
    *,
    collection: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> ApplyResult:
    """Execute a plan. The journal with the complete plan is on the disk before the first file is touched.

    A file that cannot be moved is skipped, and the others are processed. Raises JournalError, before another file is
    touched, if the journal cannot be written.
    """
    result, hashes = ApplyResult(), dict[tuple[str, int, int], str]()
    companions_of: dict[int, list[Step]] = {}
    for step in steps:
        if step.companion_of >= 0:
            companions_of.setdefault(step.companion_of, []).append(step)
    images = [step for step in steps if step.companion_of < 0]
    with Journal.create(journal, new_header(action.text, collection), steps) as opened:
        for done, step in enumerate(images, 1):
            companions = _unshared_companions(companions_of.get(step.number, []), result, opened)
            reason = skip_reason(step, action, hashes=hashes) or _companion_skip_reason(companions, action)
            if reason:
                for each in (*companions, step):
                    opened.record(each.number, "left", reason)
            else:
                reason = _execute_all([*companions, step], action, result, opened)
            if reason:
                result.skipped.append(SkippedFile(step.path, reason))
            else:
                result.done.append(step)
                result.companions += companions
                result.moved_bytes += sum(each.size for each in (*companions, step))
            if progress:
                progress(done, len(images))
    return result


def _unshared_companions(companions: Sequence[Step], result: ApplyResult, journal: Journal) -> list[Step]:
    """Skip companions that also belong to an image that is still there, and return the others."""
    unshared = []
    for step in companions:
        owner = next((path for path in step.owners if os.path.lexists(to_path(path))), None)
        if owner is None:
            unshared.append(step)
        else:
            result.skipped.append(SkippedFile(step.path, f"also belongs to {owner}, which stays"))
            journal.record(step.number, "left", result.skipped[-1].reason)
    return unshared


def _execute_all(steps: Sequence[Step], action: Action, result: ApplyResult, journal: Journal) -> str:
    """Execute the steps of companions and then of their image. Returns why it failed, "" if it did not.

    If a step fails, the finished ones are undone.
    """
    done: list[tuple[Step, str]] = []
    for step in steps:
        journal.record(step.number, "begin")
        reason = _execute(step, action)
        if not reason:
            done.append((step, _location(step, action)))
            journal.record(step.number, "done", done[-1][1])
            continue
        reason = companion_reason(step, reason) if step.companion_of >= 0 else reason
        for each in steps[len(done) :]:
            journal.record(each.number, "left", reason)
        for each, location in reversed(done):
            _, problem = restore_file(each, action.text, location)
            if problem:  # its last state stays "done", so that undo tries again
                result.skipped.append(SkippedFile(each.path, f"was moved, and {problem}; its image stays"))
            else:
                journal.record(each.number, "left", reason)
        return reason
    return ""


def skip_reason(step: Step, action: Action, *, hashes: dict[tuple[str, int, int], str] | None) -> str:
    """Return why a file must stay, "" if it may be touched. `hashes`: cache for kept files; None: do not hash yet."""
    path, keep = to_path(step.path), to_path(step.keep)
    try:
        return (
            changed_reason(path, step)
            or _linked_folder_reason(path, step)
            or _keep_reason(keep, path)
            or ("" if hashes is None else _hash_reason(path, step, keep, hashes))
            or (
                "is not on the disk of the kept file, so a hard link is impossible"
                if _on_other_disk(keep, path, action)
                else ""
            )
        )
    except (OSError, ValueError) as error:
        return f"cannot be read ({os_error_reason(error)})"


def _companion_skip_reason(companions: Iterable[Step], action: Action) -> str:
    """Return why one of the companions must stay, and so their image too; "" if all may be moved."""
    for step in companions:
        path = to_path(step.path)
        try:
            reason = changed_reason(path, step) or _linked_folder_reason(path, step) or _content_reason(path, step)
            if not reason and action.kind == "move" and os.path.lexists(to_path(step.target)):
                reason = f"cannot be moved ({step.target} already exists)"
        except (OSError, ValueError) as error:
            reason = f"cannot be read ({os_error_reason(error)})"
        if reason:
            return companion_reason(step, reason)
    return ""


def companion_reason(step: Step, reason: str) -> str:
    """Return the reason why an image stays, from the reason of its companion."""
    return f"stays, because its companion {step.path} {reason}"


def changed_reason(path: str, step: Step) -> str:
    """Return how a file differs from its plan, by its type, size and date; "" if it does not."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return "no longer exists"
    if stat.S_ISLNK(status.st_mode):
        return f"is a link to {to_text(os.readlink(path))}; links are never changed"
    if not stat.S_ISREG(status.st_mode):
        return "is no longer a file"
    if (status.st_size, status.st_mtime_ns) != (step.size, step.mtime_ns):
        return _changed_text(step)
    return ""


def _changed_text(step: Step) -> str:
    if step.companion_of >= 0:
        return "has changed since it was planned; search again"
    return "has changed since it was indexed; run lookalike index and search again"


def _linked_folder_reason(path: str, step: Step) -> str:
    """Return the reason if a folder of the path below the indexed one is a link: the file belongs elsewhere."""
    root = to_path(step.root) if step.root else os.path.dirname(path)
    folder = os.path.dirname(path)
    while folder.startswith(root) and len(folder) > len(root):
        if os.path.islink(folder):
            target = to_text(os.readlink(folder))
            return f"is in {to_text(folder)}, a link to {target}; files behind links are never changed"
        folder = os.path.dirname(folder)
    return ""


def _keep_reason(keep: str, path: str) -> str:
    if not os.path.isfile(keep):
        return f"is the last copy, because the kept file {to_text(keep)} is missing"
    if same_inode(keep, path):
        return f"is the same file on disk as {to_text(keep)} (a hard link), so its removal would free no space"
    if os.path.islink(keep):
        return f"is the last file, because the kept file {to_text(keep)} is a link to {to_text(os.readlink(keep))}"
    return ""


def _hash_reason(path: str, step: Step, keep: str, hashes: dict[tuple[str, int, int], str]) -> str:
    status = os.stat(keep)
    key = (keep, status.st_mtime_ns, status.st_size)
    if key not in hashes:
        hashes[key] = sha256_of(os.path.realpath(keep))
    if step.keep_sha256 and hashes[key] != step.keep_sha256:
        return f"stays, because the kept file {to_text(keep)} has changed; run lookalike index and search again"
    return _content_reason(path, step)


def _content_reason(path: str, step: Step) -> str:
    before = os.lstat(path)
    return _changed_text(step) if sha256_of(path) != step.sha256 or _state(os.lstat(path)) != _state(before) else ""


def _on_other_disk(keep: str, path: str, action: Action) -> bool:
    return action.kind == "hardlink" and os.stat(keep).st_dev != os.lstat(path).st_dev


def _state(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _execute(step: Step, action: Action) -> str:
    """Execute one step. Returns why it failed, "" if it did not."""
    path = to_path(step.path)
    try:
        if action.kind == "trash":
            trash.move_to_trash(path)
        elif action.kind == "move":
            move_file(path, to_path(step.target), to_path(step.temp_path), step.sha256)
        else:
            link_over(to_path(step.keep), path, to_path(step.temp_path))
    except Exception as error:  # send2trash raises errors of the platform
        if action.kind == "trash":
            return f"cannot be moved to the trash ({os_error_reason(error)}); use --apply move:FOLDER instead"
        return f"cannot be moved ({os_error_reason(error)})"
    if action.kind == "trash" and os.path.lexists(path):
        return "was not taken by the trash; use --apply move:FOLDER instead"
    return ""


def _location(step: Step, action: Action) -> str:
    if action.kind == "trash":
        match = trash.find(to_path(step.path), step.sha256)
        return to_text(match[0]) if match else ""
    return step.target if action.kind == "move" else step.keep


def os_error_reason(error: BaseException) -> str:
    """Return the reason of a system error in a few words."""
    if isinstance(error, PermissionError) or getattr(error, "errno", None) in (errno.EACCES, errno.EPERM):
        return "permission denied"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
