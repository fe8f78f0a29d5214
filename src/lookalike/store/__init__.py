"""Rows of ids, vectors and metadata, kept safely and searched. `open_store` is the door."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lookalike.errors import CollectionError, NoCollection, ReadOnly

if TYPE_CHECKING:
    from lookalike.types import Store

__all__ = ["open_store"]


def open_store(
    uri: str,
    *,
    dim: int | None = None,
    columns: Mapping[str, type] | None = None,
    create: bool = False,
    read_only: bool = False,
    storage_options: Mapping[str, str] | None = None,
) -> "Store":
    """Open a collection, or make it.

    `uri` is a folder, `s3://`, `gs://`, `az://`, or `memory:` for one that lives as long as the process. `dim` is
    needed to make one, and checked on opening. `columns` declares metadata columns; others appear with their first
    value. `storage_options` goes to the object store. Raises NoCollection, CollectionError, FormatMismatch.
    """
    if uri.startswith("memory:"):
        from lookalike.store.memory import MemoryStore

        return MemoryStore(_needed(uri, dim), columns, read_only=read_only)
    from lookalike.store.lance.engine import check_place
    from lookalike.store.lance.store import LanceStore

    check_place(uri)
    try:
        store = LanceStore(uri, read_only=read_only, storage_options=storage_options)
    except NoCollection:
        if not create:
            raise
        if read_only:
            raise ReadOnly(
                f"There is no collection at {uri}, and read_only forbids making one; leave it out."
            ) from None
        store = LanceStore.create(uri, _needed(uri, dim), columns, storage_options=storage_options)
    if dim is not None and store.dim != dim:
        raise CollectionError(
            f"The collection at {uri} holds vectors of {store.dim} numbers, not {dim}: it was made by another model. "
            "Use that model, or another folder."
        )
    return store


def _needed(uri: str, dim: int | None) -> int:
    if dim is None or dim < 1:
        raise CollectionError(f"A new collection at {uri} needs the size of its vectors: open_store(uri, dim=...).")
    return dim
