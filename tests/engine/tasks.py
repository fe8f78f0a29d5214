"""Tasks that processes of a cluster call by their names."""

import os
import time
from pathlib import Path

from lookalike.errors import BadQuery


def doubled(shared: int, item: int) -> int:
    """Later items are done first."""
    time.sleep(0.02 * max(0, 3 - item))
    return shared + 2 * item


def total(shared: int, item: list[int]) -> int:
    return shared + sum(item)


def refused(_shared: int, item: int) -> int:
    raise BadQuery(f"item {item} is refused")


def broken(_shared: int, item: int) -> int:
    return item // 0


def dies_once(folder: str, item: int) -> int:
    """Ends its process the first time that it has this item."""
    path = Path(folder) / str(item)
    if not path.exists():
        path.touch()
        os._exit(11)
    return item
