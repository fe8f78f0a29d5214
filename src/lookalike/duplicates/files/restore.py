"""Put one file back to where a step took it from, whatever state a crash left it in."""

import os

from lookalike.duplicates.files import trash
from lookalike.duplicates.files.journal import Step
from lookalike.duplicates.files.moves import is_file, move_file, same_inode, sha256_of, unlink_over
from lookalike.errors import JournalError
from lookalike.image import to_path, to_text

RESTORED, ALREADY_PRESENT = "restored", "already present"


def restore_file(step: Step, action: str, location: str) -> tuple[str, str]:
    """Undo one step. Returns the outcome, RESTORED or ALREADY_PRESENT, and why it failed, "" if it did not.

    `action`: as in the journal's header. `location`: where the step's "done" line says that the file is. Raises
    JournalError for an unknown action.
    """
    kind, _, top = action.partition(":")
    restore = {"move": _move_back, "trash": _restore_from_trash, "hardlink": _separate_link}.get(kind)
    if restore is None:
        raise JournalError(f"the journal has the action {kind!r}, which this version does not know; update Lookalike")
    try:
        _remove_temp(_temp_beside(to_path(step.path), step))  # of an undo that was killed while it copied
        outcome, problem = restore(step, location)
        if kind == "move":
            _remove_empty_folders(os.path.dirname(to_path(step.target)), to_path(top))
    except (OSError, ValueError) as error:
        return "", f"could not be restored ({getattr(error, 'strerror', None) or error})"
    return outcome, problem


def _move_back(step: Step, _location: str) -> tuple[str, str]:
    path, target, temp_path = (to_path(text) for text in (step.path, step.target, step.temp_path))
    if os.path.lexists(path):
        if not _has_content(path, step.sha256):
            return "", _replaced(target)
        if is_file(target) and _has_content(target, step.sha256):
            os.unlink(target)  # a crash came between the copy and the removal of the original, which is complete
        outcome = ALREADY_PRESENT
    elif is_file(target):
        if not _has_content(target, step.sha256):
            return "", f"was changed after it was moved to {step.target}; it stays there"
        move_file(target, path, _temp_beside(path, step), step.sha256)
        outcome = RESTORED
    else:
        return "", f"is neither at its original path nor at {step.target}"
    _remove_temp(temp_path)  # an incomplete copy
    return outcome, ""


def _restore_from_trash(step: Step, location: str) -> tuple[str, str]:
    path = to_path(step.path)
    if os.path.lexists(path):
        if not _has_content(path, step.sha256):
            return "", _replaced(to_path(location)) if location else "has been replaced by another file"
        return ALREADY_PRESENT, ""
    match = trash.find(path, step.sha256)
    if match is None and location and is_file(to_path(location)) and _has_content(to_path(location), step.sha256):
        match = to_path(location), ""
    if match is None:
        return "", "is no longer in the trash, which was emptied or from which it was removed"
    move_file(match[0], path, _temp_beside(path, step), step.sha256)
    if match[1]:
        os.unlink(match[1])
    return RESTORED, ""


def _separate_link(step: Step, _location: str) -> tuple[str, str]:
    path, keep = to_path(step.path), to_path(step.keep)
    if not is_file(path):
        return "", "no longer exists"
    status, is_linked = os.lstat(path), same_inode(path, keep)
    if not is_linked and (status.st_ino == step.inode or status.st_nlink == 1):
        return ALREADY_PRESENT, ""
    if not _has_content(path, step.sha256):
        return "", "was changed after it became a hard link, so it is left unchanged"
    unlink_over(path, _temp_beside(path, step), mtime_ns=step.mtime_ns, mode=step.mode)
    return RESTORED, ""


def _has_content(path: str, sha256: str) -> bool:
    return is_file(path) and sha256_of(path) == sha256


def _replaced(location: str) -> str:
    return f"has been replaced by another file; the original is at {to_text(location)}"


def _temp_beside(path: str, step: Step) -> str:
    return os.path.join(os.path.dirname(path), os.path.basename(to_path(step.temp_path)))


def _remove_temp(temp_path: str) -> None:
    """Remove the temporary file of a crashed step: an incomplete copy, or a second name of a complete file."""
    if is_file(temp_path):
        os.unlink(temp_path)


def _remove_empty_folders(folder: str, top: str) -> None:
    """Remove folders below `top` that were created for the moved files and are empty again; `top` itself stays."""
    try:
        while folder.startswith(os.path.join(top, "")):
            os.rmdir(folder)
            folder = os.path.dirname(folder)
    except OSError:
        return
