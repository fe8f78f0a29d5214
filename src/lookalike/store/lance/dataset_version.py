"""A version of a Lance data set as other processes open it."""

import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lookalike.store.lance.engine import is_remote, open_dataset
from lookalike.tasks import check_visible

if TYPE_CHECKING:
    import lance


class DatasetVersion:
    """Names one version of a data set. It is small when it is sent to a process, which opens the version once.

    `options`: of the object store. Raises LookalikeError where a process cannot read the folder.
    """

    def __init__(self, uri: str, version: int, options: Mapping[str, str] | None) -> None:
        self.uri, self.version, self.options = uri if is_remote(uri) else os.path.abspath(uri), version, options

    @cached_property
    def dataset(self) -> "lance.LanceDataset":
        if not is_remote(self.uri):
            check_visible([self.uri])
        return open_dataset(self.uri, self.options).checkout_version(self.version)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "dataset"}
