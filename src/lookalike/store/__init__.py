"""Storage and search of rows of ids, vectors and metadata. `open_store` opens or creates a store."""

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike import schema
from lookalike.errors import CollectionError, NoCollection, ReadOnly
from lookalike.plugins import load_plugin

if TYPE_CHECKING:
    from collections.abc import Callable

    from lookalike.store.lance.store import IndexFacts, LanceStore
    from lookalike.store.payload import MemoryPayload
    from lookalike.store.vector_index import VectorIndex
    from lookalike.store.vector_storage import Mask
    from lookalike.tasks import TaskPool
    from lookalike.types import Metadata, Store, Vectors

    StoreFactory = Callable[..., Store]

__all__ = [
    "append_files", "begin_append", "delete_store", "drop_index", "index_facts", "memory_index", "open_store",
    "optimize_by", "passing_mask", "remove_repeated", "sample_vectors", "write_rows",
]  # fmt: skip

MODELS = "models"  # beside the images: the folder of the stores of added models
_BUILT_IN_SCHEMES = ("s3", "gs", "az", "file")


def open_store(
    uri: str,
    *,
    dim: int | None = None,
    columns: Mapping[str, type] | None = None,
    create: bool = False,
    read_only: bool = False,
    storage_options: Mapping[str, str] | None = None,
) -> "Store":
    """Open a collection, or create it.

    `uri` is a folder, `s3://`, `gs://`, `az://`, `memory:` for one that lives as long as the process, or a scheme that
    another package registers (docs/extending.md). `dim` is required to create one, and checked on opening. `columns`
    declares metadata columns; others appear with their first value. `storage_options` are passed to the object store.
    Raises NoCollection, CollectionError, FormatMismatch.
    """
    if uri.startswith("memory:"):
        from lookalike.store.memory import MemoryStore

        return MemoryStore(_needed(uri, dim), columns, read_only=read_only)
    if (open_plugin := _plugin_of(uri)) is not None:
        if storage_options:
            reason = "storage_options are for object stores, not for extensions"
            raise CollectionError(reason, subject=uri, location=uri, hint="leave them out")
        store = open_plugin(uri, dim=dim, columns=columns, create=create, read_only=read_only)
        _check_protocol(store, uri)
    else:
        store = _open_lance(
            uri, dim=dim, columns=columns, create=create, read_only=read_only, storage_options=storage_options
        )
    if dim is not None and store.dim != dim:
        raise CollectionError(
            f"it holds vectors of {store.dim} numbers, not {dim}: it was created by another model",
            subject=uri,
            location=uri,
            hint="use that model, or another folder",
        )
    return store


def _plugin_of(uri: str) -> "StoreFactory | None":
    """The function that another package registers for the scheme of `uri`."""
    scheme, separator, _ = uri.partition("://")
    if not separator or scheme in _BUILT_IN_SCHEMES:
        return None
    factory: StoreFactory | None = load_plugin("stores", scheme)
    return factory


def _check_protocol(store: object, uri: str) -> None:
    from lookalike.types import Store

    # Not isinstance: that would read every property, and `version` may be a request.
    missing = [name for name in vars(Store) if not name.startswith("_") and not hasattr(type(store), name)]
    if missing:
        raise CollectionError(
            f"its extension returned {type(store).__name__}, which is no store: it has no {', '.join(missing)}",
            subject=uri,
            location=uri,
            hint="update or uninstall the extension's package",
        )


def _open_lance(
    uri: str,
    *,
    dim: int | None,
    columns: Mapping[str, type] | None,
    create: bool,
    read_only: bool,
    storage_options: Mapping[str, str] | None,
) -> "Store":
    from lookalike.store.lance.engine import check_location
    from lookalike.store.lance.store import LanceStore

    check_location(uri)
    try:
        return LanceStore(uri, read_only=read_only, storage_options=storage_options)
    except NoCollection:
        if not create:
            raise
        if read_only:
            raise ReadOnly(
                "there is no collection, and read_only forbids creating one",
                subject=uri,
                location=uri,
                hint="leave read_only out",
            ) from None
        return LanceStore.create(uri, _needed(uri, dim), columns, storage_options=storage_options)


def delete_store(folder: str) -> None:
    """Delete the data sets of a collection in a folder; other files there stay. Files in use may remain."""
    from lookalike.store.lance.engine import child
    from lookalike.store.lance.store import index_folder

    images = Path(child(folder, "images"))
    removed = images.with_name(f".{images.name}-{os.getpid()}")
    with suppress(OSError):
        images.rename(removed)  # at once: no other process may read a half of it
        tables = (Path(child(folder, table.name)) for table in schema.TABLES)
        for data in (removed, index_folder(folder), Path(folder) / MODELS, *tables):
            shutil.rmtree(data, ignore_errors=True)


def memory_index(
    store: "Store",
    *,
    max_bytes: int,
    skip_columns: frozenset[str] = frozenset(),
    previous: "VectorIndex | None" = None,
) -> "VectorIndex | None":
    """All rows of the latest version in memory, with ids and metadata but for columns of bytes and `skip_columns`.

    None where the index would exceed `max_bytes` with all that its `nbytes` counts: vectors, codes, ids, columns and
    masks, estimated by a sample of the rows. `previous`: what an earlier call returned; a Lance store reads only
    what was committed since.
    """
    from lookalike.store.lance.store import LanceStore
    from lookalike.store.vector_index import bytes_per_row

    if isinstance(store, LanceStore):
        return store.memory_index(skip_columns=skip_columns, max_bytes=max_bytes)
    names = [name for name, kind in store.columns().items() if kind is not bytes and name not in skip_columns]
    sample = _payload(list(islice(store.scan(["id", *names]), 1)), names)
    if len(store) * bytes_per_row(store.dim, sample) > max_bytes:
        return None
    if previous is not None and previous.version == store.version:
        return previous
    return _scanned(store, names)


def passing_mask(store: "Store", index: "VectorIndex", where: str) -> "Mask":
    """Which rows of an index of the store meet a condition. Raises BadFilter."""
    from lookalike.store.lance.store import LanceStore

    if isinstance(store, LanceStore):
        return store.passing_mask(index, where)
    batches = store.scan(["id"], where=where)
    return index.mask_of_ids([image_id for batch in batches for image_id in batch["id"].tolist()])


def write_rows(store: "Store", ids: Sequence[str], vectors: "Vectors", metadata: Sequence["Metadata"]) -> str | None:
    """Write new rows to files of a Lance store without committing them. Returns a description for `append_files`.

    Any process that reaches the store may do so, and another may commit them: no vector passes from one to the other.
    None if the store has no column, or a narrower one, for a value: such rows are for `Store.add`.
    """
    return _lance_store(store).write_files(ids, vectors, metadata)


def begin_append(store: "Store") -> None:
    """Call it before the rows for `append_files` are planned. Does nothing for stores that cannot append files."""
    from lookalike.store.lance.store import LanceStore

    if isinstance(store, LanceStore):
        store.begin_append()


def append_files(store: "Store", files: Sequence[str]) -> None:
    """Commit what `write_rows` wrote, in one commit.

    A row whose id another process has added since `begin_append` is left out.
    """
    _lance_store(store).append(files)


def remove_repeated(store: "Store") -> int:
    """Delete all rows but one of each id. Returns their number.

    Two rows of one id remain where two processes append it at the same moment and one is killed in that moment.
    """
    return _lance_store(store).remove_repeated()


def optimize_by(store: "Store", tasks: "TaskPool") -> None:
    """`Store.optimize` by tasks, with the same result. Raises CollectionError for a store that Lance does not keep."""
    _lance_store(store).optimize(tasks)


def _lance_store(store: "Store") -> "LanceStore":
    from lookalike.store.lance.store import LanceStore

    if not isinstance(store, LanceStore):
        raise CollectionError("only collections in a folder or an object store can be written by several machines")
    return store


def index_facts(store: "Store") -> "IndexFacts | None":
    """What the index of a collection covers and costs; None if it has none."""
    from lookalike.store.lance.store import LanceStore

    vectors = getattr(store, "vectors", store)  # of a model store
    return vectors.index_facts() if isinstance(vectors, LanceStore) else None


def drop_index(store: "Store") -> bool:
    """Delete the index of a collection; its images stay. Returns whether there was one."""
    from lookalike.store.lance.store import LanceStore

    return store.drop_index() if isinstance(store, LanceStore) else False


def _scanned(store: "Store", names: Sequence[str]) -> "VectorIndex":
    """An index of everything that a scan of the store yields."""
    import numpy as np

    from lookalike.store.segment import single_segment
    from lookalike.store.vector_index import VectorIndex

    version = store.version
    batches = list(store.scan(["id", "vector", *names]))
    vectors = np.concatenate([np.zeros((0, store.dim), np.float32), *(batch["vector"] for batch in batches)])
    payload = _payload(batches, names)
    return VectorIndex().with_segments([single_segment(vectors, np.arange(len(vectors)), payload)], version)


def _payload(batches: Sequence[Mapping[str, Any]], names: Sequence[str]) -> "MemoryPayload":
    """The ids and metadata in batches of a scan."""
    from lookalike.store.payload import MemoryPayload, object_array, without_nan

    values = {name: [value for batch in batches for value in batch[name].tolist()] for name in ("id", *names)}
    return MemoryPayload(object_array(values["id"]), {name: object_array(without_nan(values[name])) for name in names})


def _needed(uri: str, dim: int | None) -> int:
    if dim is None or dim < 1:
        reason, hint = "a new collection needs the size of its vectors", "pass open_store(uri, dim=...)"
        raise CollectionError(reason, subject=uri, location=uri, hint=hint)
    return dim


def sample_vectors(store: "Store", count: int) -> "Vectors":
    """Return the vectors (at most `count`, dim) of rows spread evenly over a store, in the store's own order."""
    import numpy as np

    total = len(store)
    if not total:
        return np.zeros((0, store.dim), np.float32)
    if (sample := getattr(store, "sample_vectors", None)) is not None:
        vectors: Vectors = sample(count)
        return vectors
    step = -(-total // count)
    return np.concatenate([batch["vector"] for batch in store.scan(["vector"])])[::step]
