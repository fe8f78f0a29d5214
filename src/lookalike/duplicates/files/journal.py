"""The journal of what was done to files: written before the first touch, one line a step, enough to take it all back.

JSON lines. The first tells the journal itself; a "plan" line for every file follows, and all of it is on the disk
before any file is touched. Then, a file at a time, "begin" before and "done" (or "left", with the reason) after. What
lacks its "done" after a crash is found out by looking at the files.
"""

import getpass
import json
import os
import platform
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lookalike.errors import JournalError

FORMAT = 2
READABLE = (1, 2)  # 1 knows no companions


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One file to be taken away. Paths are in text form (`to_path` gives the file).

    `target`: where a moved file goes. `aside`: the temporary name beside `path` or `target` while it happens. `device`
    and `inode`: of the file at the time of the plan; `mode`: its permissions. `companion_of`: the number of the step of
    the picture that the file goes along with, -1 for a picture; `owners`: other pictures that it belongs to.
    """

    number: int
    path: str
    keep: str
    sha256: str
    keep_sha256: str
    size: int
    mtime_ns: int
    root: str = ""
    target: str = ""
    aside: str = ""
    device: int = 0
    inode: int = 0
    mode: int = 0
    companion_of: int = -1
    owners: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a journal says of itself."""

    action: str
    machine: str
    host: str
    collection: str
    created: str
    steps: int = 0
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Recorded:
    """A journal as read. `state`: of each step plan, begin, done, left or undone; `where`: what "done" told."""

    header: Header
    steps: list[Step]
    state: dict[int, str]
    where: dict[int, str]


class Journal:
    """A journal being written: each line is on the disk before the call returns."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor

    @classmethod
    def create(cls, path: str | Path, header: Header, steps: Sequence[Step]) -> Self:
        """Begin a new journal with its whole plan. Raises JournalError where there is a file of that name already."""
        place = Path(path).expanduser()
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        try:
            journal = cls(place, os.open(place, flags, 0o600))
            first = {"journal": "lookalike", **asdict(replace(header, steps=len(steps)))}
            journal._write([first, *({"plan": asdict(step)} for step in steps)])
            _sync_folder(place.parent)
        except FileExistsError:
            raise JournalError(f"{place} exists; a journal is never overwritten: name another one") from None
        except OSError as error:
            raise JournalError(
                f"the journal {place} cannot be written ({error.strerror}); nothing was touched; name another place"
            ) from error
        return journal

    @classmethod
    def reopen(cls, path: str | Path) -> Self:
        """Go on with a journal that was read."""
        place = Path(path).expanduser()
        try:
            whole = place.read_bytes().endswith(b"\n")
            journal = cls(place, os.open(place, os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)))
            if not whole:  # a crash cut the last line short; ours must not become its end
                os.write(journal._descriptor, b"\n")
            return journal
        except OSError as error:
            raise JournalError(
                f"the journal {place} cannot be written to ({error.strerror}), and undoing is noted in it; "
                "make it writable, or copy it to a place that is"
            ) from error

    def note(self, step: int, state: str, where: str = "") -> None:
        """One more line. Raises JournalError when it cannot be written: nothing may be touched then."""
        line: dict[str, Any] = {"step": step, "state": state}
        try:
            self._write([line | ({"where": where} if where else {})])
        except OSError as error:
            raise JournalError(
                f"the journal {self.path} cannot be written ({error.strerror}); stopped before the next file. "
                f"What was done can be taken back with: lookalike undo {self.path}"
            ) from error

    def _write(self, lines: Iterable[Mapping[str, Any]]) -> None:
        data = "".join(json.dumps(line, ensure_ascii=True) + "\n" for line in lines).encode()
        while data:
            data = data[os.write(self._descriptor, data) :]
        os.fsync(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


def read_journal(path: str | Path) -> Recorded:
    """Read a journal, also one whose last line a crash cut short. Raises JournalError."""
    place = Path(path).expanduser()
    lines = _lines(place)
    first = next(lines, None)
    if first is None and place.stat().st_size < 4096 and b"\n" not in place.read_bytes():
        raise JournalError(f"{place} ends before its plan: it was stopped before any file was touched; delete it")
    if first is None or first.get("journal") != "lookalike":
        raise JournalError(f"{place} is not a journal of lookalike duplicates; name the file that --journal gave")
    if first.get("format") not in READABLE:
        raise JournalError(f"{place} was written by another version (format {first.get('format')}); update Lookalike")
    try:
        header = Header(**{field.name: first[field.name] for field in fields(Header)})
        recorded = Recorded(header, [], {}, {})
        for line in lines:
            _take(recorded, line)
    except (KeyError, TypeError, ValueError) as error:
        raise JournalError(f"{place} is damaged ({error}); nothing was touched") from error
    begun = [number for number, state in recorded.state.items() if state != "plan"]
    if begun and (len(recorded.steps) != header.steps or max(begun) >= header.steps):
        raise JournalError(
            f"{place} is damaged: {header.steps} files were planned and {len(recorded.steps)} are listed; "
            "restore the journal from a backup, or look for the files where it says"
        )
    return recorded


def new_header(action: str, collection: str) -> Header:
    """The header of a journal that begins now, here."""
    return Header(
        action=action,
        machine=machine(),
        host=f"{_user()}@{platform.node()}",
        collection=collection,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def machine() -> str:
    """A name for this machine that survives a restart: the system's own, or else the network card's."""
    for place in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            found = Path(place).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if found:
            return f"{uuid.uuid5(uuid.NAMESPACE_DNS, found)}"
    return f"{uuid.uuid5(uuid.NAMESPACE_DNS, f'{uuid.getnode():x}')}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "?"


def _lines(place: Path) -> Iterator[dict[str, Any]]:
    try:
        text = place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise JournalError(f"the journal {place} cannot be read ({reason})") from error
    for line in text.split("\n"):
        try:
            values = json.loads(line) if line else None
        except ValueError:
            continue  # a crash cut it short: of what it would have told, the files themselves know
        if isinstance(values, dict):
            yield values


def _take(recorded: Recorded, line: Mapping[str, Any]) -> None:
    if "plan" in line:
        step = Step(**line["plan"])
        recorded.steps.append(step)
        recorded.state[step.number] = "plan"
    else:
        recorded.state[int(line["step"])] = str(line["state"])
        if "where" in line:
            recorded.where[int(line["step"])] = str(line["where"])


def _sync_folder(folder: Path | str) -> None:
    """A new name in a folder is on the disk only after this; not every system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder_of(path: str) -> None:
    """After a rename: make the folder's new state durable where the system can."""
    try:
        _sync_folder(os.path.dirname(path) or ".")
    except OSError:
        return  # some network drives refuse; the rename itself was done
