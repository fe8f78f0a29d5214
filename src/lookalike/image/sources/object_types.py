"""What object stores say of their objects."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What a listing says of an object. `mtime_ns`: changes with its content."""

    key: str
    size: int
    mtime_ns: int
