"""One file put back to where a step took it from, whatever a crash left half done."""

import os

from lookalike.duplicates.files import trash
from lookalike.duplicates.files.journal import Step
from lookalike.duplicates.files.moves import is_file, move_file, same_inode, sha256_of, unlink_over
from lookalike.errors import JournalError
from lookalike.image import to_path, to_text

RESTORED, THERE = "restored", "there"


def put_back(step: Step, action: str, where: str) -> tuple[str, str]:
    """Undo one step. Returns what was done, RESTORED or THERE (it was in its place), and why it could not be, or "".

    `action`: as the journal's header has it. `where`: what the step's "done" told. Raises JournalError for an action
    that is not known.
    """
    kind, _, top = action.partition(":")
    back = {"move": _move_back, "trash": _out_of_trash, "hardlink": _own_file}.get(kind)
    if back is None:
        raise JournalError(f"the journal tells of {kind!r}, which this version does not know; update Lookalike")
    try:
        _sweep(_beside(to_path(step.path), step))  # an undo that was killed while it copied
        outcome, problem = back(step, where)
        if kind == "move":
            _drop_empty(os.path.dirname(to_path(step.target)), to_path(top))
    except (OSError, ValueError) as error:
        return "", f"could not be put back ({getattr(error, 'strerror', None) or error})"
    return outcome, problem


def _move_back(step: Step, _where: str) -> tuple[str, str]:
    path, target, aside = (to_path(text) for text in (step.path, step.target, step.aside))
    if os.path.lexists(path):
        if not _is(path, step.sha256):
            return "", _in_the_way(target)
        if is_file(target) and _is(target, step.sha256):
            os.unlink(target)  # a crash came between the copy and the removal: the original is whole
        outcome = THERE
    elif is_file(target):
        if not _is(target, step.sha256):
            return "", f"was changed where it was moved to, {step.target}; it is left there"
        move_file(target, path, _beside(path, step), step.sha256)
        outcome = RESTORED
    else:
        return "", f"is neither in its place nor at {step.target}"
    _sweep(aside)  # a copy that was never finished
    return outcome, ""


def _out_of_trash(step: Step, where: str) -> tuple[str, str]:
    path = to_path(step.path)
    if os.path.lexists(path):
        if not _is(path, step.sha256):
            return "", _in_the_way(to_path(where)) if where else "has another file in its place now"
        return THERE, ""
    found = trash.find(path, step.sha256)
    if found is None and where and is_file(to_path(where)) and _is(to_path(where), step.sha256):
        found = to_path(where), ""
    if found is None:
        return "", "is not in the trash any more: it was emptied, or the file was taken out"
    move_file(found[0], path, _beside(path, step), step.sha256)
    if found[1]:
        os.unlink(found[1])
    return RESTORED, ""


def _own_file(step: Step, _where: str) -> tuple[str, str]:
    path, keep = to_path(step.path), to_path(step.keep)
    if not is_file(path):
        return "", "is not there any more"
    status, linked = os.lstat(path), same_inode(path, keep)
    if not linked and (status.st_ino == step.inode or status.st_nlink == 1):
        return THERE, ""
    if not _is(path, step.sha256):
        return "", "was changed after it had become a hard link; it is left as it is"
    unlink_over(path, _beside(path, step), mtime_ns=step.mtime_ns, mode=step.mode)
    return RESTORED, ""


def _is(path: str, sha256: str) -> bool:
    return is_file(path) and sha256_of(path) == sha256


def _in_the_way(place: str) -> str:
    return f"has another file in its place now; the one taken away is at {to_text(place)}"


def _beside(path: str, step: Step) -> str:
    return os.path.join(os.path.dirname(path), os.path.basename(to_path(step.aside)))


def _sweep(aside: str) -> None:
    """Remove what a crash left under a name that is ours: an unfinished copy, or a second name of a whole file."""
    if is_file(aside):
        os.unlink(aside)


def _drop_empty(folder: str, top: str) -> None:
    """Folders below `top` that were made for the moved files and are empty again; `top` itself stays."""
    try:
        while folder.startswith(os.path.join(top, "")):
            os.rmdir(folder)
            folder = os.path.dirname(folder)
    except OSError:
        return
