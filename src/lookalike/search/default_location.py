"""The location of the default collection."""

import os
from pathlib import Path

COLLECTION_VARIABLE = "LOOKALIKE_COLLECTION"
"""The environment variable that names the collection to use when none is given."""


def default_uri() -> str:
    """$LOOKALIKE_COLLECTION if it is set, else a collection in the user's data folder."""
    uri = os.environ.get(COLLECTION_VARIABLE)
    if uri:
        return uri
    from platformdirs import user_data_dir

    return str(Path(user_data_dir("lookalike", appauthor=False)) / "collection")
