"""Images in object stores are listed, read, followed and reported like files."""

import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import COLOURS, ColourEmbedder, encode, picture
from tests.object_stores import SeaweedServer, environment, seaweed_server

from lookalike.errors import ImageTooLarge, SourceError, UnreadableImage
from lookalike.image import Limits, NotListed, SkippedFiles, SourceFile, find, read
from lookalike.image.sources import object_clients
from lookalike.image.sources.object_clients import client_of
from lookalike.image.sources.object_store import is_object, object_uri, open_object
from lookalike.search import Collection

IMAGES = {name: encode(picture(colour, seed=n)) for n, (name, colour) in enumerate(COLOURS.items())}


@pytest.fixture(scope="module")
def server() -> Iterator[SeaweedServer]:
    with seaweed_server() as started, environment(started.environment):
        yield started


@pytest.fixture
def bucket(server: SeaweedServer, request: pytest.FixtureRequest) -> str:
    """A bucket with one image of each colour below photos/."""
    name = f"b{abs(hash(request.node.name)) % 10**9}"
    return server.bucket(name, {f"photos/{colour}.png": data for colour, data in IMAGES.items()})


@pytest.fixture
def put(server: SeaweedServer, bucket: str) -> Callable[[str, bytes], None]:
    name, client = bucket.removeprefix("s3://"), server.client()
    return lambda key, data: client.put_object(Bucket=name, Key=key, Body=data)


@pytest.fixture
def delete(server: SeaweedServer, bucket: str) -> Callable[[str], None]:
    name, client = bucket.removeprefix("s3://"), server.client()
    return lambda key: client.delete_object(Bucket=name, Key=key)


@pytest.fixture
def moto_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Any]]:
    """A store that takes any key; SeaweedFS keeps files, and so has none with two slashes."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    for name, value in {
        "AWS_ENDPOINT": endpoint, "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    forget_clients()
    client = boto3.session.Session().client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket="odd-keys")
    yield "s3://odd-keys", client
    server.stop()
    forget_clients()


def forget_clients() -> None:
    object_clients._obstore_client.cache_clear()
    object_clients._boto3_client.cache_clear()


def paths(source: str, skipped: SkippedFiles | None = None) -> list[str]:
    return [item.path for item in find([source], skipped=skipped) if isinstance(item, SourceFile)]


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("s3://bucket/photos", "s3://bucket/photos"),
        ("s3://bucket/photos/", "s3://bucket/photos"),
        ("s3:/bucket/a b", "s3://bucket/a b"),
        ("gs://bucket/x//y", "gs://bucket/x//y"),
        ("az://container", "az://container"),
    ],
)
def test_uris_have_one_form(text: str, uri: str) -> None:
    assert is_object(text)
    assert object_uri(text) == uri


@pytest.mark.parametrize("text", ["/s3:/x", "photos", "http://host/x.png", "C:/photos", "S3", "s3", "xs3://b"])
def test_other_paths_are_no_objects(text: str) -> None:
    assert not is_object(text)


def test_images_are_listed_by_key_with_size_and_time(bucket: str, put: Callable[[str, bytes], None]) -> None:
    for key in ("photos/sub/ü ä.png", "photos/😀 100%.png", "photos/a#b?c+d&e=.png"):
        put(key, IMAGES["red"])
    for key in (".hidden/x.png", "@eaDir/x.png", "notes.txt", ".x.png", "photos2/x.png", "raw/x.dng"):
        put(f"photos/{key}" if key != "photos2/x.png" else key, b"x")
    skipped = SkippedFiles()
    files = list(find([f"{bucket}/photos/"], skipped=skipped))
    assert all(isinstance(item, SourceFile) for item in files)
    names = sorted(item.name for item in files if isinstance(item, SourceFile))
    assert names == sorted([*(f"{n}.png" for n in COLOURS), "sub/ü ä.png", "😀 100%.png", "a#b?c+d&e=.png"])
    for item in files:
        assert isinstance(item, SourceFile)
        assert item.path == f"{bucket}/photos/{item.name}"
        assert item.root == f"{bucket}/photos"
        assert abs(item.mtime_ns / 1e9 - time.time()) < 600
        assert len(read(item.path)) == item.size
    assert sum(skipped.raw_files.values()) == 1
    assert len(paths(bucket)) == len(files) + 1  # a whole bucket, with photos2/x.png


def test_more_objects_than_a_page_holds_are_listed_once(bucket: str, put: Callable[[str, bytes], None]) -> None:
    for n in range(object_clients.LISTED_AT_ONCE + 7):
        put(f"many/{n:05}.png", b"x")
    listed = paths(f"{bucket}/many")
    assert len(listed) == len(set(listed)) == object_clients.LISTED_AT_ONCE + 7


def test_odd_keys_neither_end_a_listing_nor_stay_unread(moto_bucket: tuple[str, Any]) -> None:
    uri, client = moto_bucket
    keys = ["p/0.png", "p//double.png", "p/a/./dot.png", "p/a/1.png", "p/a/b//x.png", "p/../up.png", "p/a/b/-n.png",
            "p/zz/z.png", "/p/root.png", "p/tail/"]  # fmt: skip
    for key in keys:
        client.put_object(Bucket="odd-keys", Key=key, Body=IMAGES["red"])
    listed = paths(f"{uri}/p")
    expected = [k for k in keys if k.startswith("p/") and k.endswith(".png") and "/." not in k]
    assert sorted(listed) == sorted(f"{uri}/{key}" for key in expected)  # folders . and .. are hidden
    for path in listed:
        assert read(path) == IMAGES["red"]
    assert sorted(paths(uri)) == sorted([*listed, f"{uri}//p/root.png"])
    assert read(f"{uri}//p/root.png") == IMAGES["red"]
    with pytest.raises(UnreadableImage, match="no such"):
        read(f"{uri}/p//missing.png")
    with pytest.raises(ImageTooLarge):
        read(f"{uri}/p//double.png", Limits(max_bytes=10))
    assert open_object(f"{uri}/p//double.png").read(4) == IMAGES["red"][:4]


def test_one_object_is_a_source(bucket: str, put: Callable[[str, bytes], None]) -> None:
    put("scan", IMAGES["red"])  # whatever its name
    assert paths(f"{bucket}/photos/red.png") == [f"{bucket}/photos/red.png"]
    assert paths(f"{bucket}/scan") == [f"{bucket}/scan"]


@pytest.mark.parametrize(("name", "mode"), [("a.zip", ""), ("a.tar", "w:"), ("a.tar.gz", "w:gz")])
def test_archives_are_read_by_parts(bucket: str, put: Callable[[str, bytes], None], name: str, mode: str) -> None:
    buffer = io.BytesIO()
    rng = np.random.default_rng(0)
    members = {f"in/{n}.png": encode(rng.integers(0, 255, (90, 90, 3)).astype(np.uint8)) for n in range(60)}
    if mode:
        with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
            for member, data in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    else:
        with zipfile.ZipFile(buffer, "w") as archive:
            for member, data in members.items():
                archive.writestr(member, data)
    put(f"archives/{name}", buffer.getvalue())
    listed = paths(f"{bucket}/archives/{name}")
    assert sorted(listed) == sorted(f"{bucket}/archives/{name}!/{member}" for member in members)
    for path in (listed[0], listed[-1], listed[5]):
        assert read(path) == members[path.partition("!/")[2]]


def test_a_large_archive_is_not_read_whole(
    bucket: str, put: Callable[[str, bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for n in range(16):
            archive.writestr(f"{n}.png", rng.bytes(1 << 20))
    put("archives/large.zip", buffer.getvalue())
    received = 0
    ranges = object_clients._Obstore.read_range

    def counted(self: Any, key: str, start: int, length: int) -> bytes:
        nonlocal received
        received += length
        return ranges(self, key, start, length)

    monkeypatch.setattr(object_clients._Obstore, "read_range", counted)
    listed = paths(f"{bucket}/archives/large.zip")
    assert len(listed) == 16
    assert read(listed[7])
    assert received < 8 << 20


@pytest.mark.parametrize("location", ["bucket", "disk"])
def test_manifests_name_objects(bucket: str, put: Callable[[str, bytes], None], tmp_path: Path, location: str) -> None:
    rows = [("photos/red.png" if location == "bucket" else f"{bucket}/photos/red.png", "warm"),
            (f"{bucket}/photos/blue.png", "cold"), (f"{bucket}/photos/missing.png", "cold")]  # fmt: skip
    text = "path,label,price\n" + "".join(f"{path},{label},3\n" for path, label in rows)
    manifest = f"{bucket}/list.csv" if location == "bucket" else str(tmp_path / "list.csv")
    put("list.csv", text.encode()) if location == "bucket" else Path(manifest).write_text(text)
    *files, missing = find([manifest])
    assert [(f.path, f.label, f.metadata) for f in files if isinstance(f, SourceFile)] == [
        (f"{bucket}/photos/red.png", "warm", {"price": 3}),
        (f"{bucket}/photos/blue.png", "cold", {"price": 3}),
    ]
    assert missing == NotListed(f"{bucket}/photos/missing.png", "row 4: no such object")


def test_a_parquet_manifest_lies_in_a_bucket(bucket: str, put: Callable[[str, bytes], None]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table({"image": ["red.png", "../photos/blue.png", "../../../green.png"]}), buffer)
    put("photos/list.parquet", buffer.getvalue())
    files = list(find([f"{bucket}/photos/list.parquet"]))
    assert [item.path for item in files] == [
        f"{bucket}/photos/red.png",
        f"{bucket}/photos/blue.png",
        f"{bucket}/green.png",
    ]
    assert isinstance(files[2], NotListed)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("{bucket}/nothing", "no such object, and none below it; check the spelling and that its credentials see"),
        ("s3://no-such-bucket-here/x", "no such"),
        ("https://example.org/x.png", "is a web address; put addresses into a table with a column url"),
    ],
)
def test_what_is_not_there_is_one_sentence(bucket: str, source: str, sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence):
        list(find([source.format(bucket=bucket)]))


def test_unreadable_objects_have_a_reason(bucket: str, put: Callable[[str, bytes], None]) -> None:
    put("photos/empty.png", b"")
    with pytest.raises(UnreadableImage, match="no such object"):
        read(f"{bucket}/photos/missing.png")
    with pytest.raises(UnreadableImage, match="is empty"):
        read(f"{bucket}/photos/empty.png")
    with pytest.raises(ImageTooLarge):
        read(f"{bucket}/photos/red.png", Limits(max_bytes=10))


def test_a_store_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(object_clients, "RETRY_SECONDS", 0.5)
    forget_clients()
    with pytest.raises(SourceError, match="the object store does not answer"):
        list(find(["s3://bucket/photos"]))
    forget_clients()


def test_a_bucket_that_cannot_be_read_costs_no_other_source(
    monkeypatch: pytest.MonkeyPatch, photos: Path, embedder: ColourEmbedder
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(object_clients, "RETRY_SECONDS", 0.5)
    forget_clients()
    with Collection.open("memory:", model=embedder) as collection:
        report = collection.sync(["s3://other/x", photos])
        assert (report.added, [f.path for f in report.failed]) == (5, ["s3://other/x"])
    forget_clients()


@pytest.mark.parametrize("text", ["s3://", "s3:/", "gs:///"])
def test_a_uri_without_a_bucket_is_one_sentence(text: str) -> None:
    with pytest.raises(SourceError, match="names no bucket"):
        list(find([text]))


def test_the_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    forget_clients()
    with pytest.raises(SourceError, match=r"pip install 'lookalike\[remote\]'"):
        list(find(["s3://bucket/photos"]))
    forget_clients()


def test_a_sync_follows_a_bucket(
    bucket: str,
    put: Callable[[str, bytes], None],
    delete: Callable[[str], None],
    embedder: ColourEmbedder,
    tmp_path: Path,
) -> None:
    put("photos/bad.png", b"no image")
    source = f"{bucket}/photos"
    with Collection.open(tmp_path / "c", model=embedder, create=True) as photos:
        report = photos.sync(source)
        assert (report.added, [f.path for f in report.failed]) == (5, [f"{source}/bad.png"])
        assert photos.sync().unchanged == 5
        seen = embedder.seen
        put("photos/red.png", encode(picture(COLOURS["red"], seed=50)))
        put("photos/moved.png", IMAGES["blue"])
        delete("photos/blue.png")
        delete("photos/violet.png")
        delete("photos/bad.png")
        report = photos.sync()
        assert (report.changed, report.moved, report.removed, report.unchanged) == (1, 1, 1, 2)
        assert embedder.seen == seen + 1
        assert photos.failures() == []
        hit = photos.search(f"{source}/moved.png", 1)[0]
        assert (hit.id, hit.metadata["path"]) == ("photos/blue.png", f"{source}/moved.png")
        for key in ("red", "moved", "green", "orange"):
            delete(f"photos/{key}.png")
        report = photos.sync()  # an empty prefix is a bucket that could not be seen
        assert (report.removed, report.missing_roots, len(photos)) == (0, [source], 4)


def test_the_same_size_in_the_same_second_is_a_change(
    bucket: str, put: Callable[[str, bytes], None], embedder: ColourEmbedder
) -> None:
    one, two = (encode(picture(COLOURS["red"], seed=n), "BMP") for n in (1, 2))
    assert len(one) == len(two)
    put("twice/x.bmp", one)
    with Collection.open("memory:", model=embedder) as photos:
        photos.sync(f"{bucket}/twice")
        put("twice/x.bmp", two)
        assert photos.sync().changed == 1


def test_a_store_that_hangs_for_a_while_costs_no_image(
    server: SeaweedServer, bucket: str, put: Callable[[str, bytes], None], embedder: ColourEmbedder
) -> None:
    """tests/engine has a store that is killed; its volumes take half a minute to come back."""
    for n in range(120):
        put(f"away/{n:03}.png", encode(picture(COLOURS["red"], seed=n)))
    embed, away = embedder.embed, threading.Event()

    def embedding(images: list[np.ndarray]) -> np.ndarray:
        if not away.is_set():
            away.set()
            assert server.process is not None
            os.kill(server.process.pid, signal.SIGSTOP)
            threading.Timer(3, os.kill, (server.process.pid, signal.SIGCONT)).start()
        return embed(images)

    embedder.embed = embedding  # type: ignore[method-assign,assignment]
    with Collection.open("memory:", model=embedder) as photos:
        report = photos.sync(f"{bucket}/away")
        assert (report.added, report.failed) == (120, [])


def test_the_command_line_indexes_a_bucket_into_a_bucket(server: SeaweedServer, bucket: str) -> None:
    def lookalike(*words: str) -> str:
        command = [sys.executable, "-m", "lookalike", *words, "-c", f"{bucket}/photos.lookalike"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert '"added": 5' in lookalike("index", f"{bucket}/photos", "--json")
    assert '"unchanged": 5' in lookalike("index", "--json")
    assert "photos/red.png" in lookalike("search", f"{bucket}/photos/red.png", "-k", "1")
    assert "photos/red.png" in lookalike("why", f"{bucket}/photos/red.png")


def test_a_client_is_opened_once_a_bucket(bucket: str) -> None:
    assert client_of(bucket, "a") is client_of(bucket, "b")
    assert client_of(bucket, "a") is not client_of(bucket, "a//b")


def test_verbs_take_objects_for_files_that_are_there(
    bucket: str, put: Callable[[str, bytes], None], embedder: ColourEmbedder, tmp_path: Path
) -> None:
    from lookalike.cli.info import describe
    from lookalike.cluster import cluster
    from lookalike.cluster.export import write_tree
    from lookalike.duplicates import find_duplicates
    from lookalike.search import Query

    put("photos/again.png", IMAGES["red"])
    with Collection.open(tmp_path / "c", model=embedder, create=True) as photos:
        photos.sync(f"{bucket}/photos")
        assert describe(photos)["roots"] == [{"path": f"{bucket}/photos", "kind": "folder", "present": True}]
        result = find_duplicates(photos)
        assert result.absent == ()
        (group,) = result
        (extra,) = group.extras
        assert {group.keep.id, extra.id} == {"photos/again.png", "photos/red.png"}
        assert extra.blocked_reason == "is in an object store or on the web, where no file is moved or deleted"
        # The file itself is read for a region.
        query = Query(images=("id:photos/blue.png",), regions=((0.0, 0.0, 0.5, 0.5),))
        assert photos.search(query, 1)[0].id == "photos/violet.png"  # the file itself is left out
        levels = cluster(photos, levels=(2,))
        assert write_tree(photos, levels, tmp_path / "links") == (0, 6)
        assert write_tree(photos, levels, tmp_path / "copies", copies=True) == (6, 0)
        written = {path.name: path.read_bytes() for path in (tmp_path / "copies").rglob("*.png")}
        assert written == {f"{name}.png": data for name, data in IMAGES.items()} | {"again.png": IMAGES["red"]}
