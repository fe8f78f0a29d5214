"""Where the collection is when nobody says."""

import os
from pathlib import Path

COLLECTION_VARIABLE = "LOOKALIKE_COLLECTION"


def default_uri() -> str:
    """$LOOKALIKE_COLLECTION, else one collection in the user's data folder."""
    named = os.environ.get(COLLECTION_VARIABLE)
    if named:
        return named
    from platformdirs import user_data_dir

    return str(Path(user_data_dir("lookalike", appauthor=False)) / "collection")
