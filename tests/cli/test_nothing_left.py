"""A verb that fails to index leaves nothing where no collection was; what existed stays."""

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from lookalike.search import open_collection
from tests.cli.conftest import Cli


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A folder with sources that cannot be indexed."""
    folder = tmp_path / "broken"
    (folder / "empty").mkdir(parents=True)
    (folder / "bad.csv").write_text("name,label\na,b\n")
    (folder / "bad.zip").write_bytes(b"PK\3\4 no archive")
    (folder / "more.tar").write_bytes(b"no archive")
    (folder / "bad.jpg").write_bytes(b"no image")
    return folder


SOURCES = ["nowhere", "*.gif", "bad.csv", "bad.zip", "bad.zip more.tar", "bad.jpg", "nowhere nowhere2"]


@pytest.mark.parametrize("command", ["index", "demo"])
@pytest.mark.parametrize("names", SOURCES)
def test_a_failed_index_leaves_nothing(cli: Cli, broken: Path, tmp_path: Path, command: str, names: str) -> None:
    sources = [broken / name for name in names.split()]
    output = tmp_path / "new" / "deep"
    if command == "index":
        ran = cli("index", *sources, "-c", output)
    elif len(sources) > 1:
        pytest.skip("one folder")
    else:
        ran = cli("demo", *sources, "-o", output)
    assert ran.code == 1, ran.err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "words", ["index", "index {photos} --model none-such", "index {photos} --model {photos}", "index -"]
)
def test_a_command_that_cannot_begin_leaves_nothing(
    cli: Cli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setenv("LOOKALIKE_COLLECTION", str(tmp_path / "new/collection"))
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO()))
    assert cli(*words.format(photos=photos).split()).code == 1
    assert not (tmp_path / "new").exists()


def test_an_error_in_the_middle_leaves_nothing(
    cli: Cli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.embed.onnx.OnnxEmbedder.embed", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli("index", photos, "-c", tmp_path / "new/collection")
    assert not (tmp_path / "new").exists()


def test_a_folder_that_existed_stays(cli: Cli, broken: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert cli("index", broken / "nowhere", "-c", tmp_path / "mine").code == 1
    assert list((tmp_path / "mine").iterdir()) == []
    assert cli("index", broken / "nowhere", "-c", tmp_path / "mine/new").code == 1
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_collection_that_existed_stays(cli: Cli, photos: Path, broken: Path) -> None:
    assert cli("index", photos).code == 0
    assert cli("remove", photos).code == 0
    assert cli("index", broken / "nowhere").code == 1
    with open_collection(create=False) as opened:
        assert len(opened) == 0


def test_a_folder_without_a_valid_image_is_followed(cli: Cli, broken: Path, write: Callable[..., Path]) -> None:
    assert cli("index", broken / "empty").code == 1
    assert cli("index", broken).code == 1
    assert "bad.jpg" in cli("info", "--failures").out


def test_a_collection_that_another_process_fills_stays(
    cli: Cli, photos: Path, broken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lookalike.cli import index

    sync = index._sync

    def sync_beside_another(*arguments: object) -> object:
        with open_collection(tmp_path / "c") as other:
            from lookalike.indexing.roots import ensure_root

            ensure_root(other.store, str(photos), "folder")
        return sync(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(index, "_sync", sync_beside_another)
    assert cli("index", broken / "nowhere", "-c", tmp_path / "c").code == 1
    with open_collection(tmp_path / "c", create=False) as opened:
        assert [root.path for root in opened.roots()] == [str(photos)]
