"""The boundary to Lance: data sets are opened here, and Lance's exceptions become LookalikeErrors here alone."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lookalike.errors import BadFilter, CollectionError, LookalikeError, NoCollection, ReadOnly, StoreFailed

if TYPE_CHECKING:
    import lance

# Lance's own defaults, 6 GiB and 1 GiB, are a server's. Indexing 500 batches stays flat at these (docs/store.md).
INDEX_CACHE_BYTES = 256 << 20
METADATA_CACHE_BYTES = 64 << 20
READ_AHEAD_BYTES = 64 << 20  # 2 GiB otherwise: merging files of thumbnails then takes 250 MB more

RETRIES = {"client_max_retries": "1000", "client_retry_timeout": "60"}  # the latter in seconds

READ_ONLY = re.compile(r"permission denied|read-only file system|access ?denied|os error (13|30)\b|forbidden", re.I)
MISSING = re.compile(r"dataset at path .* was not found|not found: .*_versions", re.I)
FULL = re.compile(r"no space left|disk quota|os error (28|122)\b", re.I)
RETIRED = re.compile(r"not found: .*\.(lance|manifest|idx)|object at location .* not found", re.I)
CONFLICT = re.compile(
    r"CommitConflictError|commit conflict|incompatible (with )?concurrent|"
    r"too much write contention|preempted by concurrent",
    re.I,
)
BAD_FILTER = re.compile(r"error (parsing|resolving|applying)|filter|invalid function|divide by zero", re.I)

MEANINGS: tuple[tuple[re.Pattern[str], type[LookalikeError], str, str], ...] = (
    (READ_ONLY, ReadOnly, "writing is not permitted ({text})", "ask its owner for access, or copy it"),
    (FULL, StoreFailed, "the disk is full ({text}); nothing was changed", "free some space and try again"),
    (CONFLICT, StoreFailed, "other processes kept writing to it ({text}); nothing was changed", "try again"),
    (
        RETIRED,
        StoreFailed,
        "a file was removed while it was in use ({text})",
        "open the collection again and try again",
    ),
    (
        re.compile(r"no object store provider|unknown scheme", re.I),
        CollectionError,
        "no store has this scheme",
        "use a folder, s3://, gs:// or az://, or install an extension for it",
    ),
    (re.compile(""), StoreFailed, "the storage engine failed: {text}", "check the disk or the network, and try again"),
)


_INTERRUPTED = "External error: KeyboardInterrupt"


@contextmanager
def engine(uri: str, where: str | None = None) -> Iterator[None]:
    """Translate exceptions that Lance raises within the block; KeyboardInterrupt and LookalikeErrors pass."""
    try:
        yield
    except LookalikeError:
        raise
    except BaseException as error:
        # A Rust panic arrives as pyo3's PanicException, which is not an Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        if _INTERRUPTED in str(error):  # Ctrl-C during a callback from Lance
            raise KeyboardInterrupt from error
        raise translated(error, uri, where) from error


def translated(error: BaseException, uri: str, where: str | None = None) -> LookalikeError:
    """Return the LookalikeError that fits the text of Lance's OSError, ValueError, RuntimeError ..."""
    text = _reason(error)
    if where is not None and BAD_FILTER.search(text):
        return BadFilter(f"The condition {where!r} cannot be evaluated: {text}")
    described = f"{type(error).__name__}: {text}"
    if MISSING.search(described):
        return no_collection(uri)
    kind, reason, hint = next((k, r, h) for pattern, k, r, h in MEANINGS if pattern.search(described))
    return kind(reason.format(text=text), subject=uri, location=uri, hint=hint)


def no_collection(uri: str) -> NoCollection:
    """Return the error of a location without a collection."""
    return NoCollection(
        "there is no collection",
        subject=uri,
        location=uri,
        hint="create one with Collection.open(..., create=True)",
        command=f"index FOLDER -c {uri}",
    )


def is_conflict(error: BaseException) -> bool:
    """Whether another writer committed first, so that a retry may succeed."""
    return bool(CONFLICT.search(f"{type(error).__name__}: {error}"))


def _reason(error: BaseException) -> str:
    """Return Lance's message without references to its source lines."""
    text = re.sub(r",? ?/\S+\.rs:\d+:\d+", "", str(error)).strip().rstrip(".")
    return text or type(error).__name__


def load_lance() -> ModuleType:
    """Import Lance with quiet logging and a small read-ahead, unless environment variables are set to other values."""
    os.environ.setdefault("LANCE_LOG", "error")
    os.environ.setdefault("LANCE_DEFAULT_IO_BUFFER_SIZE", str(READ_AHEAD_BYTES))
    import lance

    loaded: ModuleType = lance
    return loaded


def open_dataset(uri: str, options: Mapping[str, str] | None) -> "lance.LanceDataset":
    """Open a data set with small caches. Raises NoCollection."""
    lance = load_lance()
    with engine(uri):
        return lance.dataset(
            uri,
            storage_options=dict(options) if options else None,
            index_cache_size_bytes=INDEX_CACHE_BYTES,
            metadata_cache_size_bytes=METADATA_CACHE_BYTES,
        )


def create_dataset(uri: str, schema: Any, options: Mapping[str, str] | None) -> None:
    """Create an empty data set in one commit, unless another process has just created it."""
    lance = load_lance()
    try:
        lance.write_dataset(
            schema.empty_table(), uri, schema=schema, mode="create", storage_options=dict(options) if options else None
        )
    except OSError as error:
        if "already exists" not in str(error) and not is_conflict(error):
            raise translated(error, uri) from error


def is_remote(uri: str) -> bool:
    return "://" in uri


def with_retries(uri: str, options: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """Return storage options that repeat requests to an object store for a minute, and not for half a second."""
    return RETRIES | dict(options or {}) if is_remote(uri) else options


def child(uri: str, name: str) -> str:
    """Return the URI of a data set within a collection."""
    return f"{uri.rstrip('/')}/{name}.lance" if is_remote(uri) else str(Path(uri) / f"{name}.lance")


def check_location(uri: str) -> None:
    """Raise CollectionError if something other than a collection is at `uri`: it is never written to."""
    if is_remote(uri):
        return
    path = Path(uri)
    if path.is_file() or (path.is_dir() and not (path / "images.lance").exists() and any(path.iterdir())):
        raise CollectionError(
            "exists and is not a collection; nothing was written",
            subject=uri,
            location=uri,
            hint="choose an empty or a new folder",
        )
