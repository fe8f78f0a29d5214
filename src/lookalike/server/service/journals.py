"""Journals of files that the page moved to the trash, one per operation, in the user's data folder."""

import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from lookalike.duplicates.files.journal import ParsedJournal, read_journal
from lookalike.errors import JournalError, LookalikeError, UnknownId
from lookalike.image import to_path
from lookalike.types import DuplicateGroup, Extra, Hit

_NAME = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{8}")
# The start of an absolute path, but not a slash within an id.
_PATH = re.compile(r"(?<![\w.])(?:/|[A-Za-z]:\\|\\\\)\S")


class ApplyNotAllowed(LookalikeError):
    """The server was started without --allow-apply."""


class GroupsChanged(LookalikeError):
    """The groups have changed since a person reviewed them."""


@dataclass(frozen=True, slots=True)
class JournalSummary:
    """One journal. `moved`: files moved to the trash. `restored`: how many of them were restored.

    `size`: bytes of the files still in the trash. `trashed`: their original paths.
    """

    journal: str
    created: str
    moved: int
    restored: int
    size: int
    trashed: frozenset[str]


def journal_folder() -> Path:
    """Return the folder of the journals of all collections; it may not exist yet."""
    from platformdirs import user_data_dir

    return Path(user_data_dir("lookalike", appauthor=False)) / "journals"


def make_journal_folder() -> None:
    """Create the folder of the journals. Raises JournalError."""
    try:
        journal_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(
            f"the journal cannot be written to the user's data folder ({error.strerror}), and without it no file is "
            "moved; make the folder writable for the server"
        ) from error


def new_journal_name() -> str:
    return f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


def journal_path(name: str) -> Path:
    """Return the path of a journal. Raises UnknownId."""
    if not _NAME.fullmatch(name):
        raise UnknownId(f"there is no journal {name[:40]!r}; GET /v1/duplicates/apply lists them")
    return journal_folder() / f"{name}.jsonl"


def journals_of(uri: str) -> list[JournalSummary]:
    """Return the journals of a collection, newest first, without damaged ones."""
    summaries = []
    try:
        paths = sorted(journal_folder().glob("*.jsonl"), reverse=True)
    except OSError:  # an unreadable folder contains no journals of this server
        return []
    for path in paths:
        try:
            status = path.stat()
            collection, summary = _summary(path, status.st_mtime_ns, status.st_size)
        except (OSError, JournalError):
            continue
        if is_same_collection(collection, uri) and summary.moved:
            summaries.append(summary)
    return summaries


def is_same_collection(first: str, second: str) -> bool:
    """Return whether two URIs name the same collection."""
    if first == second or "://" in first + second:
        return first == second
    return os.path.realpath(first) == os.path.realpath(second)


def trashed_paths(uri: str) -> frozenset[str]:
    """Return the original paths of files that the page moved to the trash and that do not exist again."""
    paths = frozenset[str]().union(*(summary.trashed for summary in journals_of(uri)))
    return frozenset(path for path in paths if not os.path.lexists(to_path(path)))


@lru_cache(maxsize=256)
def _summary(path: Path, _mtime_ns: int, _size: int) -> tuple[str, JournalSummary]:
    recorded: ParsedJournal = read_journal(path)
    states = list(recorded.state.values())
    trashed = [step for step in recorded.steps if recorded.state[step.number] == "done"]
    restored = states.count("undone")
    return recorded.header.collection, JournalSummary(
        journal=path.stem,
        created=recorded.header.created,
        moved=len(trashed) + restored,
        restored=restored,
        size=sum(step.size for step in trashed),
        trashed=frozenset(step.path for step in trashed),
    )


def present_groups(groups: Iterable[DuplicateGroup], uri: str) -> list[DuplicateGroup]:
    """Return the groups without extras that the page moved to the trash, omitting groups without other extras."""
    from dataclasses import replace

    trashed = trashed_paths(uri)
    if not trashed:
        return list(groups)
    remaining = []
    for group in groups:
        extras = tuple(extra for extra in group.extras if extra.metadata.get("path") not in trashed)
        if extras:
            remaining.append(group if len(extras) == len(group.extras) else replace(group, extras=extras))
    return remaining


def count_movable(groups: Iterable[DuplicateGroup]) -> tuple[int, int]:
    """Return the number of extras that can be moved, according to the search, and their size in bytes."""
    movable = [extra for group in groups for extra in group.extras if not extra.blocked_reason]
    return len(movable), sum(int(extra.metadata.get("size") or 0) for extra in movable)


def without_paths(reason: str, groups: Iterable[DuplicateGroup], path: str) -> str:
    """Return a reason with the paths of group members replaced by their ids, cut before any other path."""
    for group in groups:
        members: list[Hit | Extra] = [group.keep, *group.extras]
        if any(member.metadata.get("path") == path for member in members):
            for member in members:
                if member_path := str(member.metadata.get("path") or ""):
                    reason = reason.replace(member_path, member.id)
    return cut_at_path(reason)


def cut_at_path(text: str) -> str:
    """Return the text up to the first absolute path in it."""
    match = _PATH.search(text)
    return text[: match.start()].rstrip() + " …" if match else text
