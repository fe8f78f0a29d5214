"""Finding files: folders, links, globs, manifests, archives, lists, unusual names."""

import gzip
import io
import os
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.errors import ImageTooLarge, SourceError, UnreadableImage
from lookalike.image import Limits, NotListed, SourceFile, close_archives, find, read, read_list, to_path, to_text
from lookalike.image.sources.tables import read_table

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX file names and links")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs a disk that takes any bytes as a name")


@pytest.fixture(autouse=True)
def _closed() -> Iterable[None]:
    yield
    close_archives()


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def names(*sources: str | Path, **options: bool) -> list[str]:
    return [item.name for item in find(sources, **options) if isinstance(item, SourceFile)]


def refused(*sources: str | Path, **options: bool) -> list[NotListed]:
    return [item for item in find(sources, **options) if isinstance(item, NotListed)]


# --- folders


def test_a_folder_is_listed_in_order_without_hidden_files(tmp_path: Path) -> None:
    touch(tmp_path, "b.jpg", "a.PNG", "sub/c.heic", "sub/deep/d.jxl", "notes.txt", "noextension", "a.zip")
    touch(tmp_path, ".git/x.jpg", "__MACOSX/x.jpg", "@eaDir/x.jpg", "._a.jpg", ".hidden.png", "Thumbs.db", "jpg")
    assert names(tmp_path) == ["a.PNG", "b.jpg", "sub/c.heic", "sub/deep/d.jxl"]
    file = next(iter(find([tmp_path])))
    assert isinstance(file, SourceFile)
    assert (file.root, file.size, file.id) == (str(tmp_path), 5, None)
    assert file.path == str(tmp_path / "a.PNG")
    assert file.mtime_ns == (tmp_path / "a.PNG").stat().st_mtime_ns


def test_a_named_file_is_listed_whatever_its_extension(tmp_path: Path) -> None:
    touch(tmp_path, "picture.dat", ".hidden.jpg")
    assert names(tmp_path / "picture.dat", tmp_path / ".hidden.jpg") == ["picture.dat", ".hidden.jpg"]


@posix
def test_loops_of_links_end_and_real_files_win(tmp_path: Path) -> None:
    touch(tmp_path, "in/real.jpg", "out/other.jpg")
    root = tmp_path / "in"
    (root / "again").symlink_to(root)
    (root / "a_first.jpg").symlink_to(root / "real.jpg")
    (root / "elsewhere").symlink_to(tmp_path / "out")
    (root / "z1.jpg").symlink_to(tmp_path / "out" / "other.jpg")
    (root / "nowhere.jpg").symlink_to(root / "gone.jpg")
    assert names(root) == ["real.jpg", "elsewhere/other.jpg"]
    assert names(root, follow_links=False) == ["real.jpg"]
    assert [one.reason for one in refused(root)] == ["is a link to a missing file"]


def test_a_missing_source_is_named_before_anything_is_listed(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    with pytest.raises(SourceError, match=r"nope: no such file or folder"):
        find([tmp_path, tmp_path / "nope"])
    assert [one.reason for one in refused(tmp_path / "nope", report_missing=True)] == ["no such file or folder"]


def test_a_folder_that_may_not_be_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "closed/a.jpg", "open/b.jpg")
    scan = os.scandir

    def forbidding(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", forbidding)
    assert names(tmp_path) == ["open/b.jpg"]
    assert refused(tmp_path) == [NotListed(str(tmp_path / "closed"), "permission denied")]
    with pytest.raises(SourceError, match="permission denied"):
        list(find([tmp_path / "closed"]))


def test_many_files_list_fast_without_being_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5_000):
        os.close(os.open(tmp_path / f"{number:06}.jpg", os.O_CREAT | os.O_WRONLY))
    monkeypatch.setattr("builtins.open", lambda *_: pytest.fail("a file was opened"))
    started_at = time.perf_counter()
    assert sum(1 for _ in find([tmp_path])) == 5_000
    assert time.perf_counter() - started_at < 10  # 100,000 in 2 s is 0.1 s; the rest is for a busy machine


# --- globs


def test_globs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "2023/a.jpg", "2024/b.jpg", "2024/deep/c.jpg", "2024/d.txt", "old/e.jpg")
    assert names(f"{tmp_path}/**/*.jpg") == ["2023/a.jpg", "2024/b.jpg", "2024/deep/c.jpg", "old/e.jpg"]
    assert names(f"{tmp_path}/202*") == ["a.jpg", "b.jpg", "deep/c.jpg"]
    assert names(f"{tmp_path}/2024/*") == ["b.jpg", "c.jpg"]
    assert names(f"{tmp_path}/2024/*.txt") == ["d.txt"]
    monkeypatch.chdir(tmp_path)
    assert names("20*/*.jpg") == ["2023/a.jpg", "2024/b.jpg"]
    with pytest.raises(SourceError):
        find([f"{tmp_path}/*.nothing"])


def test_a_real_name_with_glob_signs_is_that_file(tmp_path: Path) -> None:
    touch(tmp_path, "a[1].jpg", "a1.jpg")
    assert names(tmp_path / "a[1].jpg") == ["a[1].jpg"]


# --- manifests


def rows(path: Path) -> list[SourceFile]:
    listed = list(find([path]))
    assert all(isinstance(one, SourceFile) for one in listed), listed
    return [one for one in listed if isinstance(one, SourceFile)]


def test_csv_columns_are_typed_by_all_their_values(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.jpg", "x/b.jpg")
    (tmp_path / "list.csv").write_text(
        "id,path,class,price,count,new,code,note\n"
        "7,x/a.jpg,shoe,1.5,3,true,007,hello\n"
        '8,x/b.jpg,,2,,False,12,"a, ""quoted"" one"\n',
        encoding="utf-8-sig",
    )
    first, second = rows(tmp_path / "list.csv")
    assert (first.id, first.label, first.name) == ("7", "shoe", "x/a.jpg")
    assert first.root == str(tmp_path / "list.csv")
    assert first.metadata == {"price": 1.5, "count": 3, "new": True, "code": "007", "note": "hello"}
    assert second.label is None
    assert second.metadata == {"price": 2.0, "count": None, "new": False, "code": "12", "note": 'a, "quoted" one'}
    assert isinstance(second.metadata["price"], float)


@pytest.mark.parametrize("name", ["path", "file", "Filename", "IMAGE"])
@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_path_columns_and_separators(tmp_path: Path, name: str, sign: str) -> None:
    touch(tmp_path, "a.jpg")
    (tmp_path / "list.csv").write_text(f"{name}{sign}label\na.jpg{sign}x\n", encoding="utf-8")
    assert [(row.name, row.label) for row in rows(tmp_path / "list.csv")] == [("a.jpg", "x")]


def test_tsv_and_absolute_paths(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "lists/b.jpg")
    (tmp_path / "lists" / "list.tsv").write_text(f"path\ttag\n{tmp_path / 'a.jpg'}\tt\nb.jpg\t\n", encoding="utf-8")
    first, second = rows(tmp_path / "lists" / "list.tsv")
    assert (first.path, first.label) == (str(tmp_path / "a.jpg"), "t")
    assert (second.name, second.label) == ("b.jpg", None)


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    table = pa.table({"path": ["a.jpg"], "id": [12], "score": [0.5], "seen": [True], "many": [[1, 2]], "none": [None]})
    pq.write_table(table, tmp_path / "list.parquet")
    (row,) = rows(tmp_path / "list.parquet")
    assert row.id == "12"
    assert row.metadata == {"score": 0.5, "seen": True, "many": "[1, 2]", "none": None}


def test_rows_without_a_file_are_reported_with_their_number(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    (tmp_path / "list.csv").write_text("path\na.jpg\ngone.jpg\nftp://example.invalid/x.jpg\n", encoding="utf-8")
    assert names(tmp_path / "list.csv") == ["a.jpg"]
    reasons = [one.reason for one in refused(tmp_path / "list.csv")]
    assert reasons == ["row 3: no such file", "row 4: only http, https and object stores are read"]


def test_invalid_manifests(tmp_path: Path) -> None:
    (tmp_path / "wrong.csv").write_text("name,price\nx,1\n", encoding="utf-8")
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(SourceError, match=r"no column of paths; name one of its columns path, .*it has: name, price"):
        list(find([tmp_path / "wrong.csv"]))
    for name in ("empty.csv", "broken.parquet"):
        with pytest.raises(SourceError, match=name):
            list(find([tmp_path / name]))


# --- lists


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a.jpg\nb c.jpg\r\n\nd.jpg", ["a.jpg", "b c.jpg", "d.jpg"]),
        (b"a\n1.jpg\0b.jpg\0", ["a\n1.jpg", "b.jpg"]),
        (b"", []),
        (b"one.jpg", ["one.jpg"]),
    ],
)
def test_lists_on_stdin(data: bytes, expected: list[str]) -> None:
    assert list(read_list(io.BytesIO(data))) == expected


def test_a_long_list(tmp_path: Path) -> None:
    many = [f"{number}.jpg" for number in range(50_000)]
    assert list(read_list(io.BytesIO("\n".join(many).encode()))) == many


# --- unusual names


@pytest.mark.parametrize(
    "raw", [b"a.jpg", "Zürich 😀.jpg".encode(), b"caf\xe9.jpg", b"\xff\xfe\x80", "\uef80\uefff".encode()]
)
@posix
def test_text_is_valid_and_reversible(raw: bytes) -> None:
    text = to_text(raw)
    text.encode("utf-8")
    assert os.fsencode(to_path(text)) == raw


@linux
def test_files_whose_names_are_not_utf8(tmp_path: Path) -> None:
    for raw in (b"caf\xe9.jpg", "\uef80.jpg".encode(), b"new\nline.jpg", b"!.jpg"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + raw)).write_bytes(raw)
    files = [one for one in find([tmp_path]) if isinstance(one, SourceFile)]
    assert len(files) == 4
    for one in files:
        one.path.encode("utf-8")
        assert read(one.path) == os.fsencode(to_path(one.name))
    assert len(list(find([one.path for one in files]))) == 4


# --- reading


def test_reasons_are_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.jpg")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name, reason in {
        "gone.jpg": "no such file",
        "empty.jpg": "is empty",
        "": "is a folder",
        "a\0b": "name",
    }.items():
        with pytest.raises(UnreadableImage, match=reason):
            read(os.path.join(tmp_path, name))
    with pytest.raises(ImageTooLarge, match=r"is 5 bytes, the limit is 4 \(max_bytes\)"):
        read(str(tmp_path / "a.jpg"), Limits(max_bytes=4))

    def forbidden(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", forbidden)
    with pytest.raises(UnreadableImage, match=r"^permission denied"):
        read(str(tmp_path / "a.jpg"))


@posix
def test_a_pipe_never_blocks(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert names(tmp_path) == []
    assert refused(tmp_path / "pipe.jpg")[0].reason == "is a pipe or a device, not a file"
    with pytest.raises(UnreadableImage, match="pipe"):
        read(str(tmp_path / "pipe.jpg"))


# --- archives


def make_archive(path: Path, members: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, "w:" + path.name.partition(".tar")[2].lstrip(".")) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


KINDS = ["a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"]
MEMBERS = {"x/b.jpg": b"B" * 1000, "a.png": b"A", "notes.txt": b"no", ".hid/c.jpg": b"no", "x/__MACOSX/d.jpg": b"no"}


@pytest.mark.parametrize("kind", KINDS)
def test_archives_are_read_in_place(kind: str, tmp_path: Path) -> None:
    archive = make_archive(tmp_path / kind, MEMBERS)
    files = [one for one in find([archive]) if isinstance(one, SourceFile)]
    assert [(one.name, one.size) for one in files] == [("x/b.jpg", 1000), ("a.png", 1)]
    assert files[0].path == f"{archive}!/x/b.jpg"
    for one in [*files, *reversed(files)]:
        assert read(one.path) == MEMBERS[one.name]
    with pytest.raises(UnreadableImage, match="no such file in the archive"):
        read(f"{archive}!/gone.jpg")
    assert read(files[0].path) == MEMBERS["x/b.jpg"]  # a missing member does not invalidate the cursor
    with pytest.raises(ImageTooLarge, match="max_bytes"):
        read(files[0].path, Limits(max_bytes=999))
    assert sorted(os.listdir(tmp_path)) == [kind]
    assert names(tmp_path) == []  # archives inside folders are not opened


@pytest.mark.parametrize("kind", ["a.zip", "a.tar", "a.tar.gz"])
def test_unsafe_member_paths_are_harmless(kind: str, tmp_path: Path) -> None:
    tricks = {"../../evil.jpg": b"1", "/abs.jpg": b"2", "C:\\win.jpg": b"3", "a/./b//c.jpg": b"4"}
    archive = make_archive(tmp_path / kind, tricks)
    files = [one for one in find([archive]) if isinstance(one, SourceFile)]
    assert [one.name for one in files] == ["evil.jpg", "abs.jpg", "win.jpg", "a/b/c.jpg"]
    assert [read(one.path) for one in files] == [b"1", b"2", b"3", b"4"]


def test_a_folder_called_like_an_archives_member(tmp_path: Path) -> None:
    touch(tmp_path, "wow!/a.jpg")
    archive = make_archive(tmp_path / "wow!" / "b.zip", {"c!/d.jpg": b"deep"})
    assert read(str(tmp_path / "wow!" / "a.jpg")) == b"wow!/a.jpg"
    assert read(f"{archive}!/c!/d.jpg") == b"deep"


def test_encrypted_members_are_reported(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a.zip", {"a.jpg": b"secret"})
    data = bytearray(archive.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    assert "encrypted" in refused(archive)[0].reason
    with pytest.raises(UnreadableImage, match="encrypted"):
        read(f"{archive}!/a.jpg")


@pytest.mark.parametrize("kind", ["a.zip", "a.tar.gz", "a.tar"])
def test_a_broken_archive_is_a_source_error(kind: str, tmp_path: Path) -> None:
    (tmp_path / kind).write_bytes(b"nothing of the kind")
    with pytest.raises(SourceError, match="cannot be opened as an archive"):
        list(find([tmp_path / kind]))


@pytest.mark.parametrize("kind", ["a.zip", "a.tar.gz"])
def test_a_truncated_archive_gives_reasons(kind: str, tmp_path: Path) -> None:
    archive = make_archive(tmp_path / kind, {f"{number}.jpg": os.urandom(5000) for number in range(20)})
    whole = archive.read_bytes()
    paths = [one.path for one in find([archive]) if isinstance(one, SourceFile)]
    archive.write_bytes(whole[: len(whole) // 2] + (whole[-2000:] if kind == "a.zip" else b""))
    for path in paths:
        try:
            read(path)
        except UnreadableImage:
            continue


def test_a_changed_archive_is_opened_again(tmp_path: Path) -> None:
    path = make_archive(tmp_path / "a.zip", {"a.jpg": b"old"})
    assert read(f"{path}!/a.jpg") == b"old"
    path.unlink()
    make_archive(path, {"a.jpg": b"newer"})
    assert read(f"{path}!/a.jpg") == b"newer"


def test_a_compressed_tar_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in order by four threads at once."""
    archive = make_archive(tmp_path / "a.tar.gz", {f"{number:03}.jpg": os.urandom(3000) for number in range(200)})
    paths = [one.path for one in find([archive]) if isinstance(one, SourceFile)]
    opened: list[int] = []
    real = tarfile.open

    def counting(*arguments: object, **options: object) -> object:
        opened.append(threading.get_ident())
        return real(*arguments, **options)  # type: ignore[arg-type, call-overload]

    monkeypatch.setattr(tarfile, "open", counting)
    with ThreadPoolExecutor(4) as pool:
        assert all(len(data) == 3000 for data in pool.map(read, paths))
    assert len(opened) <= 2  # once to test for a plain tar, once to read it


def test_zip_bombs_stop_at_the_limit(tmp_path: Path) -> None:
    bomb = make_archive(tmp_path / "a.zip", {"a.jpg": b"\0" * 10_000_000})
    with pytest.raises(ImageTooLarge):
        read(f"{bomb}!/a.jpg", Limits(max_bytes=1_000_000))
    packed = tmp_path / "b.tar.gz"
    packed.write_bytes(gzip.compress(b"\0" * 10_000_000))
    assert list(find([packed])) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_every_reader_of_tables_knows_the_encodings_of_spreadsheets(
    tmp_path: Path, encoding: str, delimiter: str
) -> None:
    table = tmp_path / "labels.csv"
    lines = ["path", "label"], ["übung.png", "Öl"]
    table.write_bytes("".join(delimiter.join(line) + "\r\n" for line in lines).encode(encoding))
    assert read_table(str(table)).rows == ({"path": "übung.png", "label": "Öl"},)
    (tmp_path / "übung.png").write_bytes(b"")
    (listed,) = find([str(table)])
    assert (listed.path, getattr(listed, "label", None)) == (str(tmp_path / "übung.png"), "Öl")
