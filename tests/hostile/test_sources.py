"""Damaged archives, manifests and tables are reported with a reason, in little memory, and do not end a run."""

import gzip
import io
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.errors import SourceError
from lookalike.image import SourceFile, close_archives, find
from lookalike.image.sources.tables import read_table
from lookalike.search import Collection
from tests.conftest import ColourEmbedder, encode, picture
from tests.hostile.conftest import limited

ROUNDS = 150


def whole_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for n in range(4):
            archive.writestr(f"folder/{n}.png", encode(picture((n, 9, 9))))
    return file.getvalue()


def whole_tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for n in range(3):
            data = encode(picture((n, 9, 9)))
            info = tarfile.TarInfo(f"folder/{'long ' * 30}{n}.png")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def whole_parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"path": ["a.png", "b.png"], "price": [1, 2], "label": ["x", None]}), file)
    return file.getvalue()


WHOLE: dict[str, Callable[[], bytes]] = {
    "x.zip": whole_zip,
    "x.tar": whole_tar,
    "x.tar.gz": lambda: gzip.compress(whole_tar()),
    "x.parquet": whole_parquet,
    "x.csv": lambda: b"path,label,price\na.png,x,1\nb.png,y,2\n",
}


def mutated(data: bytes, randomly: random.Random) -> bytes:
    """Change or delete some bytes, or repeat a part."""
    result = bytearray(data)
    for _ in range(randomly.randint(1, 8)):
        at = randomly.randrange(len(result))
        match randomly.randrange(4):
            case 0:
                result[at] = randomly.randrange(256)
            case 1:
                result[at : at + 4] = randomly.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
            case 2:
                del result[at : at + randomly.randint(1, 64)]
            case _:
                result[at:at] = result[at : at + randomly.randint(1, 64)]
        if not result:
            break
    return bytes(result)


@limited
@pytest.mark.parametrize("name", WHOLE)
def test_any_damage_of_a_source_is_a_source_error(tmp_path: Path, name: str) -> None:
    randomly = random.Random(name)
    path = tmp_path / name
    whole = WHOLE[name]()
    reported = 0
    for _ in range(ROUNDS):
        path.write_bytes(mutated(whole, randomly))
        try:
            list(find([path]))
        except SourceError as error:
            reported += name in str(error)
        close_archives()
    assert reported > 0


@limited
@pytest.mark.parametrize("name", ["x.parquet", "x.csv"])
def test_any_damage_of_a_table_is_a_source_error(tmp_path: Path, name: str) -> None:
    randomly = random.Random(name)
    path = tmp_path / name
    for _ in range(ROUNDS):
        path.write_bytes(mutated(WHOLE[name](), randomly))
        try:
            read_table(str(path))
        except SourceError:
            continue


def claiming(kind: bytes, size: int) -> bytes:
    """Return a tar with one header that claims `size` bytes."""
    info = tarfile.TarInfo("a.png")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT) + b"name" + bytes(1020)


@limited
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_the_size_in_a_tar_header_is_not_trusted(tmp_path: Path, kind: bytes, *, packed: bool) -> None:
    data = claiming(kind, 3 * 2**30)
    path = tmp_path / ("x.tar.gz" if packed else "x.tar")
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(SourceError, match=r"claims 3,221,225,472 bytes"):
        list(find([path]))


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b", b"\x1f\x8b\x08\0\0\0", b"BZh9", b"\xfd7zXZ\0", b"PK\x05\x06"])
def test_archives_of_a_few_bytes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.tar.gz"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"x\.tar\.gz"):
        list(find([path]))


def test_a_member_without_a_name(tmp_path: Path) -> None:
    data = whole_zip().replace(b"folder/0.png", b"\0" * 12)
    path = tmp_path / "x.zip"
    path.write_bytes(data)
    try:
        assert len([item for item in find([path]) if isinstance(item, SourceFile)]) == 3
    except SourceError as error:
        assert "x.zip" in str(error)  # noqa: PT017 - either is right


@pytest.mark.parametrize("again", [False, True])
def test_one_damaged_source_is_skipped(tmp_path: Path, photos: Path, *, again: bool) -> None:
    good, bad = tmp_path / "good.zip", tmp_path / "bad.zip"
    good.write_bytes(whole_zip())
    bad.write_bytes(whole_zip())
    with Collection.open("memory:", model=ColourEmbedder()) as collection:
        if again:
            collection.sync([good, bad, photos])
        bad.write_bytes(whole_zip()[:300])
        report = collection.sync(None if again else [bad, good, photos])
        assert [(failure.path, "archive" in failure.reason) for failure in report.failed] == [(str(bad), True)]
        assert report.removed == 0
        assert len(collection) == (4 if again else 0) + 4 + len(list(photos.iterdir()))


def test_a_single_damaged_source_is_an_error(tmp_path: Path) -> None:
    bad = tmp_path / "bad.zip"
    bad.write_bytes(whole_zip()[:300])
    with (
        Collection.open("memory:", model=ColourEmbedder()) as collection,
        pytest.raises(SourceError, match=r"bad\.zip"),
    ):
        collection.sync(bad)
