"""Saved queries: concurrent changes of their folder by other workers lose no query."""

from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import UnknownId
from lookalike.search import Collection
from lookalike.server.process.settings import KEY
from lookalike.server.uploads.saved_queries import SavedQueries
from tests.conftest import COLOURS, ColourEmbedder, encode, picture
from tests.server.conftest import Served, served

VECTOR = np.ones(3, np.float32)


def test_a_file_removed_by_another_worker_loses_no_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = SavedQueries(str(tmp_path / "queries"), 60, b"key")
    listed = [tmp_path / "queries" / "gone.new"]
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(listed))
    saved = queries.save(b"an image", VECTOR, {"width": 4})
    assert queries.get(saved.token).facts == {"width": 4}
    assert queries.data(saved.token) == b"an image"


def test_expired_queries_are_removed_by_the_next_save(tmp_path: Path) -> None:
    old = SavedQueries(str(tmp_path / "queries"), -1, b"key")
    saved = old.save(b"an image", VECTOR, {})
    SavedQueries(str(tmp_path / "queries"), -1, b"key").save(b"another", VECTOR, {})
    assert saved.token.removeprefix("query:") not in {p.stem for p in (tmp_path / "queries").iterdir()}


def test_a_token_cannot_be_computed_from_the_image_alone(tmp_path: Path) -> None:
    tokens = [
        SavedQueries(str(tmp_path / name), 60, key).save(b"an image", VECTOR, {}).token
        for name, key in (("a", b"one key"), ("b", b"one key"), ("c", b"another key"), ("d", b""))
    ]
    assert tokens[0] == tokens[1]
    assert len(set(tokens[1:])) == 3


@pytest.mark.parametrize("form", ["query:../{}", "query:{}x", "query:{}/.", "../{}"])
def test_only_tokens_name_files_and_only_of_the_folder(tmp_path: Path, form: str) -> None:
    queries = SavedQueries(str(tmp_path / "queries"), 60, b"key")
    token = queries.save(b"an image", VECTOR, {}).token.removeprefix("query:")
    for folder, name in ((tmp_path, token), (tmp_path / "queries", f"{token}x")):
        for suffix in (".json", ".bin"):  # files that a token must not reach
            (folder / f"{name}{suffix}").write_bytes((tmp_path / "queries" / f"{token}{suffix}").read_bytes())
    assert queries.data(f"query:{token}") == b"an image"
    for read in (queries.get, queries.data):
        with pytest.raises(UnknownId):
            read(form.format(token))


def test_the_token_of_one_server_is_unknown_to_another(tmp_path: Path) -> None:
    files = {"image": ("x.png", encode(picture(COLOURS["red"])))}

    def saved(running: Served) -> str:
        return str(running.http.post("/v1/queries", files=files).json()["query"])

    def status(running: Served, token: str) -> int:
        return running.http.get("/v1/search", params={"like": token, "k": 1}).status_code

    shared = tmp_path / "shared"  # of the workers of one server
    shared.mkdir()
    (shared / KEY).write_bytes(b"k" * 32)
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos:
        photos.add([picture(COLOURS["red"])], ids=["x"])
        with (
            served(photos, str(tmp_path / "c")) as one,
            served(photos, str(tmp_path / "c")) as other,
            served(photos, str(tmp_path / "c"), folder=str(shared)) as worker,
            served(photos, str(tmp_path / "c"), folder=str(shared)) as sibling,
        ):
            token = saved(one)
            assert [status(running, token) for running in (one, other, worker)] == [200, 404, 404]
            assert other.http.get(f"/v1/queries/{token}/thumbnail").status_code == 404
            assert saved(other) != token
            assert saved(worker) == saved(sibling)
            assert status(sibling, saved(worker)) == 200
