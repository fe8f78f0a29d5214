"""All vectors of a collection as one array: what everything that looks at the whole of it begins with."""

import numpy as np

from lookalike.errors import BadQuery
from lookalike.search import Collection
from lookalike.types import Vectors


def read_vectors(photos: Collection, *, where: str | None = None) -> tuple[list[str], Vectors]:
    """Ids and vectors (n, dim), in the order of the ids, so that what follows does not depend on how rows are stored.

    The vectors are in memory once. Raises BadQuery where there is no image.
    """
    ids = [str(i) for part in photos.store.scan(["id"], where=where) for i in part["id"]]
    order = {name: place for place, name in enumerate(sorted(ids))}
    vectors = np.zeros((len(order), photos.card.dim), np.float32)
    for part in photos.store.scan(["id", "vector"], where=where):
        # An image that another process adds meanwhile waits for the next time.
        places = np.array([order.get(str(i), -1) for i in part["id"]], np.int64)
        vectors[places[places >= 0]] = part["vector"][places >= 0]
    if not order:
        raise BadQuery(f"{photos.uri} is empty; fill it with: lookalike index FOLDER -c {photos.uri}")
    return list(order), vectors
