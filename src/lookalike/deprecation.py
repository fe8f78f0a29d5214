"""Old names of public things work for one minor version.

Python names give a DeprecationWarning that says the new name. JSON keys are written under both names.
"""

import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

OLD_KEYS: Mapping[str, str] = {
    "color": "colour",
    "colors": "colours",
    "gallery images": "gallery pictures",
    "images skipped": "pictures skipped",
    "labeled": "labelled",
    "license": "licence",
    "neighbors": "neighbours",
    "recolored": "recoloured",
    "normalized": "normalised",
    "tail_normalized": "tail_normalised",
}
"""Keys of JSON objects: each key and its old name."""

OLD_SETTINGS: Mapping[str, str] = {"grey": "gray"}
"""Names of edits and training settings: each old name and the new one."""

_NEW_KEYS = {old: new for new, old in OLD_KEYS.items()}


def with_old_keys(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a JSON object with each renamed key under both names."""
    new = with_new_keys(content)
    return new | {OLD_KEYS[name]: value for name, value in new.items() if name in OLD_KEYS}


def with_new_keys(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a JSON object under the new keys alone; where both exist, the new one counts."""
    return {
        _NEW_KEYS.get(name, name): value
        for name, value in content.items()
        if name not in _NEW_KEYS or _NEW_KEYS[name] not in content
    }


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
