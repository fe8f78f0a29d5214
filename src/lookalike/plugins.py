"""Extensions that other packages register as entry points: embedders, stores, edits, objectives, metrics.

A package names them in its pyproject.toml, for example

    [project.entry-points."lookalike.embedders"]
    my-model = "my_package.embedder:make"

They are found when a name is looked up that Lookalike does not know, and loaded when one is used.
docs/extending.md says what each must be.
"""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from lookalike.errors import LookalikeError

GROUPS = ("embedders", "stores", "edits", "objectives", "metrics")


def plugins(group: str) -> Mapping[str, EntryPoint]:
    """Return the registered extensions of one of GROUPS by name. Raises LookalikeError if two have one name."""
    if group not in GROUPS:
        raise ValueError(f"unknown group of extensions {group!r}; the groups are {', '.join(GROUPS)}")
    registered: dict[str, EntryPoint] = {}
    for point in entry_points(group=f"lookalike.{group}"):
        other = registered.setdefault(point.name, point)
        if other.value != point.value:
            raise LookalikeError(
                f"two packages register {point.name!r} among lookalike.{group}: {other.value} and {point.value}; "
                "uninstall one of them"
            )
    return registered


def load_plugin(group: str, name: str) -> Any:
    """Import and return an extension, None where there is none of that name. Raises LookalikeError where it fails."""
    point = plugins(group).get(name)
    if point is None:
        return None
    try:
        return point.load()
    except Exception as error:
        raise LookalikeError(
            f"the extension {name!r} of lookalike.{group} ({point.value}) cannot be loaded: "
            f"{type(error).__name__}: {error}; update or uninstall its package"
        ) from error
