"""Old names of public things: they work for one minor version, with a DeprecationWarning that says the new name."""

import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def renamed(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module's `__getattr__` that answers old names.

    `names`: from each old name to the new one in the same module, or to `other.module:name`. Assign it under
    `if not TYPE_CHECKING`, so that type checkers report old names.
    """

    def resolve(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, _, new = names[name].rpartition(":")
        warnings.warn(f"{module}.{name} is now {home or module}.{new}", DeprecationWarning, stacklevel=2)
        return getattr(import_module(home) if home else sys.modules[module], new)

    resolve.names = names  # type: ignore[attr-defined]
    return resolve


def renamed_property(old: str, new: str) -> Any:
    """Return a property that answers an attribute's old name."""

    def read(self: object) -> Any:
        kind = type(self).__name__
        warnings.warn(f"{kind}.{old} is now {kind}.{new}", DeprecationWarning, stacklevel=2)
        return getattr(self, new)

    return property(read, doc=f"Deprecated: use `{new}`.")
