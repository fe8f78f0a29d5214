"""A collection in an object store: the S3 protocol, spoken by a server in this process on the loopback address."""

from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from lookalike.errors import NoCollection
from lookalike.search import Collection
from tests.conftest import ColourEmbedder

moto = pytest.importorskip("moto.server", reason="moto[server] plays the object store; it comes with the dev extra")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    for name, value in {
        "AWS_ENDPOINT": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    with urlopen(Request(f"{endpoint}/bucket", method="PUT")) as made:
        assert made.status == 200
    yield "s3://bucket"
    server.stop()


def test_a_collection_lives_in_an_object_store(bucket: str, photos: Path, embedder: ColourEmbedder) -> None:
    uri = f"{bucket}/photos"
    with pytest.raises(NoCollection):
        Collection.open(uri)
    (photos / "bad.png").write_bytes(b"bad")
    with Collection.open(uri, model=embedder, create=True) as made:
        assert made.sync(photos).added == 5
    (photos / "red.png").rename(photos / "crimson.png")
    with Collection.open(uri, model=embedder) as again:
        assert again.sync().moved == 1
        assert [Path(f.path).name for f in again.failures()] == ["bad.png"]
        hit = again.search(photos / "crimson.png", 1)[0]
        assert (hit.id, hit.metadata["path"]) == ("photos/red.png", str(photos / "crimson.png"))
        assert again.thumbnails([hit.id])[0]
        assert again.remove([hit.id]) == 1
        assert len(again) == 4
