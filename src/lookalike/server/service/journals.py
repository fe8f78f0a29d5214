"""Files that the page moved to the trash: one journal each time, in the user's data folder, undone by its name."""

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
# A place on the disk, but not the slash within an id.
_PATH = re.compile(r"(?<![\w.])(?:/|[A-Za-z]:\\|\\\\)\S")


class ApplyNotAllowed(LookalikeError):
    """The server was started without --allow-apply."""


class GroupsChanged(LookalikeError):
    """What a person looked at is no longer what would be applied."""


@dataclass(frozen=True, slots=True)
class JournalSummary:
    """`moved`: files taken away. `restored`: of these, put back. `size`: bytes of what is still away."""

    journal: str
    created: str
    moved: int
    restored: int
    size: int
    away: frozenset[str]


def journal_folder() -> Path:
    """Where the journals of all collections are, once there is one."""
    from platformdirs import user_data_dir

    return Path(user_data_dir("lookalike", appauthor=False)) / "journals"


def make_journal_folder() -> None:
    """Raises JournalError."""
    try:
        journal_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(
            f"the journal cannot be written into the user's data folder ({error.strerror}), and without one nothing is "
            "moved; make the folder writable for the server"
        ) from error


def new_journal_name() -> str:
    return f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


def journal_path(name: str) -> Path:
    """The file of a journal. Raises UnknownId."""
    if not _NAME.fullmatch(name):
        raise UnknownId(f"there is no journal {name[:40]!r}; GET /v1/duplicates/apply lists them")
    return journal_folder() / f"{name}.jsonl"


def journals_of(uri: str) -> list[JournalSummary]:
    """The journals of a collection, the latest first; what is damaged is left out."""
    summaries = []
    try:
        paths = sorted(journal_folder().glob("*.jsonl"), reverse=True)
    except OSError:  # a folder that nobody may read holds no journal of ours
        return []
    for path in paths:
        try:
            status = path.stat()
            collection, summary = _summary(path, status.st_mtime_ns, status.st_size)
        except (OSError, JournalError):
            continue
        if is_same_place(collection, uri) and summary.moved:
            summaries.append(summary)
    return summaries


def is_same_place(first: str, second: str) -> bool:
    """Whether two names of collections lead to one."""
    if first == second or "://" in first + second:
        return first == second
    return os.path.realpath(first) == os.path.realpath(second)


def paths_away(uri: str) -> frozenset[str]:
    """Paths of files that the page moved to the trash and that are not back in their places."""
    paths = frozenset[str]().union(*(summary.away for summary in journals_of(uri)))
    return frozenset(path for path in paths if not os.path.lexists(to_path(path)))


@lru_cache(maxsize=256)
def _summary(path: Path, _mtime_ns: int, _size: int) -> tuple[str, JournalSummary]:
    recorded: ParsedJournal = read_journal(path)
    states = list(recorded.state.values())
    away = [step for step in recorded.steps if recorded.state[step.number] == "done"]
    restored = states.count("undone")
    return recorded.header.collection, JournalSummary(
        journal=path.stem,
        created=recorded.header.created,
        moved=len(away) + restored,
        restored=restored,
        size=sum(step.size for step in away),
        away=frozenset(step.path for step in away),
    )


def present_groups(groups: Iterable[DuplicateGroup], uri: str) -> list[DuplicateGroup]:
    """The groups without extras that the page moved away; those that keep nothing else are left out."""
    from dataclasses import replace

    away = paths_away(uri)
    if not away:
        return list(groups)
    remaining = []
    for group in groups:
        extras = tuple(extra for extra in group.extras if extra.metadata.get("path") not in away)
        if extras:
            remaining.append(group if len(extras) == len(group.extras) else replace(group, extras=extras))
    return remaining


def count_movable(groups: Iterable[DuplicateGroup]) -> tuple[int, int]:
    """How many extras may be touched, as far as the search could tell, and their bytes."""
    movable = [extra for group in groups for extra in group.extras if not extra.blocked_reason]
    return len(movable), sum(int(extra.metadata.get("size") or 0) for extra in movable)


def without_paths(reason: str, groups: Iterable[DuplicateGroup], path: str) -> str:
    """A reason in which files are called by their ids, cut where it goes on to tell of another place."""
    for group in groups:
        members: list[Hit | Extra] = [group.keep, *group.extras]
        if any(member.metadata.get("path") == path for member in members):
            for member in members:
                if member_path := str(member.metadata.get("path") or ""):
                    reason = reason.replace(member_path, member.id)
    return cut_at_path(reason)


def cut_at_path(text: str) -> str:
    """A text up to the first place on the disk that it tells."""
    match = _PATH.search(text)
    return text[: match.start()].rstrip() + " …" if match else text
