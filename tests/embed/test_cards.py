"""Model folders with a graph and a card; invalid ones are refused with a reason."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from lookalike.embed import DEFAULT_MODEL, card_from_json, card_to_json, get_embedder, known_models, model_folder
from lookalike.errors import BrokenModel, UnknownModel
from lookalike.types import Card, Embedder, Preprocessing

CARD = Card(
    name="x",
    dim=4,
    preprocessing=Preprocessing(size=(8, 6), mean=(1.0, 2.0, 3.0)),
    sha256="0" * 64,
    license="Apache-2.0",
    source="here",
)


def test_a_card_survives_a_round_trip() -> None:
    assert card_from_json(card_to_json(CARD)) == CARD


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nmae": "x"}, "nmae.*nearest: name"),
        ({"format": 99}, "newer"),
        ({"preprocessing": {"size": [8, 8], "resize": "stretch"}}, "squash, letterbox, crop"),
        ({"preprocessing": {"size": 8}}, "height, width"),
        ({"preprocessing": None}, "preprocessing"),
    ],
)
def test_the_error_names_the_invalid_field(change: dict[str, object], message: str) -> None:
    raw = json.loads(card_to_json(CARD)) | change
    with pytest.raises(BrokenModel, match=message):
        card_from_json(json.dumps(raw))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "name": "x", "preprocessing": {"size": [1, 1]}}'])
def test_invalid_cards_are_refused(text: str) -> None:
    with pytest.raises(BrokenModel, match="export the model again"):
        card_from_json(text)


def test_an_unknown_name_raises_with_the_nearest_names() -> None:
    with pytest.raises(UnknownModel, match=DEFAULT_MODEL):
        get_embedder("eficientnet-lite")


@pytest.mark.parametrize("name", sorted(known_models(added=False)))
def test_shipped_models_give_unit_vectors(name: str) -> None:
    embedder = get_embedder(name)
    images = [np.random.default_rng(n).integers(0, 256, (50 + n, 70, 3)).astype(np.uint8) for n in range(9)]
    vectors = embedder.embed(images)
    assert isinstance(embedder, Embedder)
    assert vectors.shape == (9, embedder.card.dim)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(embedder.embed(images[:1]), vectors[:1], atol=1e-4)
    assert embedder.embed([]).shape == (0, embedder.card.dim)


@pytest.mark.parametrize("name", sorted(known_models()))
def test_shipped_cards_state_checksum_and_license(name: str) -> None:
    card = known_models()[name]
    model = (model_folder(name) / "model.onnx").read_bytes()
    assert hashlib.sha256(model).hexdigest() == card.sha256
    assert card.license == "Apache-2.0"


def test_altered_weights_are_refused(tmp_path: Path) -> None:
    source = model_folder(DEFAULT_MODEL)
    (tmp_path / "card.json").write_bytes((source / "card.json").read_bytes())
    (tmp_path / "model.onnx").write_bytes((source / "model.onnx").read_bytes() + b"\0")
    with pytest.raises(BrokenModel, match="sha256"):
        get_embedder(tmp_path)


def test_an_invalid_graph_with_a_valid_checksum_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"rubbish")
    raw = json.loads(card_to_json(CARD)) | {"sha256": hashlib.sha256(b"rubbish").hexdigest()}
    (tmp_path / "card.json").write_text(json.dumps(raw))
    with pytest.raises(BrokenModel, match="ONNX Runtime"):
        get_embedder(tmp_path)


def test_a_folder_without_a_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokenModel, match=r"model\.onnx and card\.json"):
        get_embedder(tmp_path)
