"""The index of a shard: of the rows in some files of a collection, at any recent version.

Which shard a row belongs to follows from the version alone: file n of the data set (Lance's fragment n) is in shard
n modulo their number. A file keeps its number for as long as it exists, so a commit moves no row that it does not
write, and all shards of one version together hold each row once.
"""

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.store import columns as cols
from lookalike.store.ivf.files import open_segments, read_manifest
from lookalike.store.lance.arrow import types_of
from lookalike.store.lance.build_index import update_index
from lookalike.store.lance.engine import engine
from lookalike.store.lance.refresh import IndexContents, index_of_files, new_rows, refreshed
from lookalike.store.lance.search import passing_rows
from lookalike.store.lance.store import FOLDER, INDEX_ROWS, LanceStore, part_dims
from lookalike.store.serving import InProcessIndex
from lookalike.store.vector_index import VectorIndex
from lookalike.store.vector_storage import Mask
from lookalike.store.where import backticks, condition

if TYPE_CHECKING:
    import lance

MAX_VERSIONS = 8  # a search under way, and other routers, may be some versions behind
BUILD_POLL_SECONDS = 0.5  # while another process of this machine builds the same index
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShardSpec:
    """Shard `number` of `count` of a collection, without some columns.

    `index_rows`: from so many rows on, the shard is searched by an index of files in the cache of its machine.
    """

    uri: str
    number: int
    count: int
    skip_columns: frozenset[str] = frozenset()
    index_rows: int = INDEX_ROWS
    folder: str = ""

    @property
    def index_folder(self) -> Path:
        """The folder of its index: in the user's cache, for one collection and one number of shards."""
        if self.folder:
            return Path(self.folder) / f"shard-{self.number}-of-{self.count}"
        from platformdirs import user_cache_dir

        cache = Path(user_cache_dir("lookalike", appauthor=False)) / FOLDER
        return cache / f"{hashlib.sha256(self.uri.encode()).hexdigest()[:16]}-{self.number}-of-{self.count}"


class FragmentSubset:
    """A version of a data set that has the fragments of one shard only, for what reads and indexes a data set."""

    def __init__(self, dataset: "lance.LanceDataset", number: int, count: int) -> None:
        self._dataset, self._number, self._count = dataset, number, count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    @cached_property
    def _fragments(self) -> list[Any]:
        return [f for f in self._dataset.get_fragments() if f.fragment_id % self._count == self._number]

    def get_fragments(self) -> list[Any]:
        return self._fragments

    def count_rows(self) -> int:
        return sum(fragment.count_rows() for fragment in self._fragments)

    def to_table(self, **options: Any) -> Any:
        return self._dataset.scanner(fragments=self._fragments, **options).to_table()


class LanceShard:
    """The last versions of a shard. Loading a version reads what its commits changed; searches go on meanwhile."""

    def __init__(self, spec: ShardSpec) -> None:
        self.spec = spec
        self._loaded: OrderedDict[int, InProcessIndex] = OrderedDict()
        self._loading = threading.Lock()
        self._manifest: tuple[str, float] | None = None  # of the files that the loaded versions map
        self._builder: threading.Thread | None = None
        self._open()

    def _open(self) -> None:
        self._store = LanceStore(self.spec.uri, read_only=True)

    def at(self, version: int) -> InProcessIndex | None:
        """The index of a version if it is loaded."""
        return self._loaded.get(version)

    def latest(self) -> InProcessIndex:
        """The index of the latest version."""
        return self.load(self._store.version)

    def forget(self) -> None:
        """Drop all versions: the collection was replaced by another one, whose versions have the same numbers."""
        with self._loading:
            self._loaded.clear()
            self._open()

    def load(self, version: int) -> InProcessIndex:
        """The index of a version, read unless it is loaded. Raises LookalikeError."""
        with self._loading:
            if (index := self._loaded.get(version)) is None:
                with engine(self.spec.uri):
                    index = InProcessIndex(self._read(version), self._mask_of)
                self._loaded[version] = index
            self._loaded.move_to_end(version)
            while len(self._loaded) > MAX_VERSIONS:
                self._loaded.popitem(last=False)
            return index

    def _read(self, version: int) -> VectorIndex:
        subset = self._subset(version)
        contents = IndexContents(metadata=True, skip=self.spec.skip_columns)
        before = [known for known in self._loaded if known < version]  # what a later commit deleted cannot come back
        base = self._mapped(contents, again=not before)
        if base is None and before:
            base = self._loaded[max(before)].vector_index
        unread = subset.count_rows() if base is None else new_rows(base, subset)
        if unread >= self.spec.index_rows and self._build(subset):
            base = self._mapped(contents, again=True) or base
        index = refreshed(base, subset, contents)
        self._extend(subset, index)
        return index

    def _subset(self, version: int) -> Any:
        dataset = self._store.dataset
        dataset = dataset if dataset.version == version else dataset.checkout_version(version)
        return FragmentSubset(dataset, self.spec.number, self.spec.count)

    def _mapped(self, contents: IndexContents, *, again: bool) -> VectorIndex | None:
        """The index of files if it was written since the last version was loaded, or if it is needed `again`."""
        manifest = read_manifest(self.spec.index_folder)
        state = None if manifest is None else (manifest.centroids, manifest.built)
        if state is None or (state == self._manifest and not again):
            return None
        opened = open_segments(self.spec.index_folder, self._store.dim)
        if opened is None:
            return None
        self._manifest = state
        return index_of_files(opened, contents)

    def _build(self, subset: Any) -> bool:
        """Build or extend the index of files; wait for a process of this machine that does. False if that fails."""
        try:
            while not self._update(subset):
                time.sleep(BUILD_POLL_SECONDS)
        except (OSError, MemoryError) as error:
            log.warning("the index of shard %d could not be written (%s); it is in memory", self.spec.number, error)
            return False
        return True

    def _extend(self, subset: Any, index: VectorIndex) -> None:
        """Write what is in memory to the index of files, in the background, once it is much."""
        in_memory = sum(segment.count for segment in index.segments if segment.lists is None)
        if in_memory < self.spec.index_rows or (self._builder is not None and self._builder.is_alive()):
            return

        def build() -> None:
            try:
                self._update(subset)
            except Exception:  # the rows stay in memory
                log.warning("the index of shard %d could not be extended", self.spec.number, exc_info=True)

        self._builder = threading.Thread(target=build, name="build-index", daemon=True)
        self._builder.start()

    def _update(self, subset: Any) -> bool:
        return update_index(subset, self.spec.index_folder, self._store.dim, part_dims(subset.metadata))

    def _mask_of(self, index: VectorIndex, where: str) -> Mask:
        """Which rows of an index of this shard meet a condition. Raises BadFilter."""
        subset = self._subset(index.version)
        types: Mapping[str, type] = {cols.ID: str, **types_of(subset.schema, cols.ID)}
        sql = condition(where, types, backticks)
        if not len(index.alive):
            return np.zeros(int(index.offsets[-1]), np.bool_)
        with engine(self.spec.uri, where):
            return index.mask_of_row_ids(passing_rows(subset, sql))
