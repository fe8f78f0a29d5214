"""The collection of a server: one of another model at the same location is not searched."""

from dataclasses import replace
from pathlib import Path

import pytest

from lookalike.embed.card import card_to_json
from lookalike.errors import NoCollection
from lookalike.schema import CARD
from lookalike.search import Collection
from lookalike.server import Settings
from lookalike.server.service.collection_service import CollectionService
from tests.conftest import COLOURS, ColourEmbedder, picture
from tests.server.conftest import wait_for


def test_a_collection_of_another_model_is_not_searched(tmp_path: Path) -> None:
    with (
        Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos,
        Collection.open(tmp_path / "c", model=ColourEmbedder()) as other,
    ):
        photos.add([picture(COLOURS["red"])], ids=["x"])
        service = CollectionService(Settings(uri=str(tmp_path / "c")), photos)
        service.start()
        try:
            wait_for(lambda: service.ready)
            other.store.set_settings({CARD.name: card_to_json(replace(photos.card, sha256="0" * 64))})
            wait_for(lambda: "another model" in service.unavailable_reason)
            with pytest.raises(NoCollection, match="another model"):
                _ = service.current
            other.store.set_settings({CARD.name: card_to_json(photos.card)})
            wait_for(lambda: service.ready)
        finally:
            service.close()
