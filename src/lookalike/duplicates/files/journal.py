"""The journal of file operations: one JSON line a step, written ahead, from which all of them can be undone.

The first line is the header. A "plan" line for each file follows, and all of it is on the disk before the first file is
touched. Then each file gets a "begin" line before, and a "done" line (or "left", with the reason) after. If a crash
prevents a "done" line, undo determines the state from the files themselves.
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
from lookalike.text import expanded

FORMAT = 2
READABLE_FORMATS = (1, 2)  # format 1 has no companions


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One file to be removed from its folder. Paths are in text form (`to_path` converts them).

    `target`: where the file is moved. `temp_path`: a temporary name beside `path` or `target`, used during the step.
    `device` and `inode`: of the file when it was planned; `mode`: its permissions. `companion_of`: the number of the
    step of the image that the file moves with, -1 for an image. `owners`: other images that a companion belongs to.
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
    temp_path: str = ""
    device: int = 0
    inode: int = 0
    mode: int = 0
    companion_of: int = -1
    owners: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalHeader:
    """The first line of a journal."""

    action: str
    machine: str
    host: str
    collection: str
    created: str
    steps: int = 0
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class ParsedJournal:
    """A journal as read from disk.

    `state`: of each step: plan, begin, done, left or undone. `locations`: where each file that is done went, or why it
    was skipped.
    """

    header: JournalHeader
    steps: list[Step]
    state: dict[int, str]
    locations: dict[int, str]


class Journal:
    """A journal being written: each line is on the disk before the call returns."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor

    @classmethod
    def create(cls, path: str | Path, header: JournalHeader, steps: Sequence[Step]) -> Self:
        """Create a journal with its complete plan. Raises JournalError if the file exists or cannot be written."""
        file_path = expanded(path)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        try:
            journal = cls(file_path, os.open(file_path, flags, 0o600))
            first = {"journal": "lookalike", **asdict(replace(header, steps=len(steps)))}
            journal._write([first, *({"plan": _plan_of(step)} for step in steps)])
            _sync_folder(file_path.parent)
        except FileExistsError:
            raise JournalError(f"{file_path} exists; a journal is never overwritten; name another file") from None
        except OSError as error:
            raise JournalError(
                f"the journal {file_path} cannot be written ({error.strerror}); no file was changed; name another file"
            ) from error
        return journal

    @classmethod
    def reopen(cls, path: str | Path) -> Self:
        """Open an existing journal to append to it. Raises JournalError."""
        file_path = expanded(path)
        try:
            is_complete = file_path.read_bytes().endswith(b"\n")
            journal = cls(file_path, os.open(file_path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)))
            if not is_complete:  # a crash truncated the last line; the next one must not continue it
                os.write(journal._descriptor, b"\n")
            return journal
        except OSError as error:
            raise JournalError(
                f"the journal {file_path} cannot be written to ({error.strerror}), but undo records its steps there; "
                "make it writable, or copy it to a writable folder"
            ) from error

    def record(self, step: int, state: str, location: str = "") -> None:
        """Append the state of a step. Raises JournalError if it cannot be written; then no file may be touched.

        `location`: where the file went, or the reason why it was skipped.
        """
        line: dict[str, Any] = {"step": step, "state": state}
        try:
            self._write([line | ({"where": location} if location else {})])
        except OSError as error:
            raise JournalError(
                f"the journal {self.path} cannot be written ({error.strerror}); stopped before the next file. "
                f"Undo the finished steps with: lookalike undo {self.path}"
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


def read_journal(path: str | Path) -> ParsedJournal:
    """Read a journal; its last line may be truncated by a crash. Raises JournalError."""
    file_path = expanded(path)
    lines = _lines(file_path)
    first = next(lines, None)
    if first is None and file_path.stat().st_size < 4096 and b"\n" not in file_path.read_bytes():
        raise JournalError(f"{file_path} ends before its plan, so no file was changed; delete it")
    if first is None or first.get("journal") != "lookalike":
        raise JournalError(f"{file_path} is not a journal of lookalike duplicates; name the file given to --journal")
    if first.get("format") not in READABLE_FORMATS:
        raise JournalError(
            f"{file_path} was written by another version (format {first.get('format')}); update Lookalike"
        )
    try:
        header = JournalHeader(**{field.name: first[field.name] for field in fields(JournalHeader)})
        parsed = ParsedJournal(header, [], {}, {})
        for line in lines:
            _add_line(parsed, line)
    except (KeyError, TypeError, ValueError) as error:
        raise JournalError(f"{file_path} is damaged ({error}); no file was changed") from error
    started = [number for number, state in parsed.state.items() if state != "plan"]
    if started and (len(parsed.steps) != header.steps or max(started) >= header.steps):
        raise JournalError(
            f"{file_path} is damaged: {header.steps} files were planned and {len(parsed.steps)} are listed; "
            "restore the journal from a backup, or move the files back by hand from the locations in it"
        )
    return parsed


def new_header(action: str, collection: str) -> JournalHeader:
    """Return the header of a journal created now on this machine."""
    return JournalHeader(
        action=action,
        machine=machine_id(),
        host=f"{_user()}@{platform.node()}",
        collection=collection,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def machine_id() -> str:
    """Return an id of this machine that survives a restart: from the system's machine id, or else the MAC address."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            system_id = Path(path).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if system_id:
            return f"{uuid.uuid5(uuid.NAMESPACE_DNS, system_id)}"
    return f"{uuid.uuid5(uuid.NAMESPACE_DNS, f'{uuid.getnode():x}')}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "?"


def _lines(file_path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = file_path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise JournalError(f"the journal {file_path} cannot be read ({reason})") from error
    for line in text.split("\n"):
        try:
            values = json.loads(line) if line else None
        except ValueError:
            continue  # a crash truncated it; the files themselves show the state of its step
        if isinstance(values, dict):
            yield values


def _add_line(parsed: ParsedJournal, line: Mapping[str, Any]) -> None:
    if "plan" in line:
        step = _step_of(line["plan"])
        parsed.steps.append(step)
        parsed.state[step.number] = "plan"
    else:
        parsed.state[int(line["step"])] = str(line["state"])
        if "where" in line:
            parsed.locations[int(line["step"])] = str(line["where"])


def _plan_of(step: Step) -> dict[str, Any]:
    """Return the values of a "plan" line, in which `temp_path` is called "aside"."""
    return {"aside" if name == "temp_path" else name: value for name, value in asdict(step).items()}


def _step_of(plan: Mapping[str, Any]) -> Step:
    return Step(**{"temp_path" if name == "aside" else name: value for name, value in plan.items()})


def _sync_folder(folder: Path | str) -> None:
    """Make a new name in a folder durable, on systems that can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder_of(path: str) -> None:
    """Make a rename of a file durable, on systems that can."""
    try:
        _sync_folder(os.path.dirname(path) or ".")
    except OSError:
        return  # some network drives refuse it; the rename itself is done
