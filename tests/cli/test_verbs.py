"""Each verb as a person types it: what stdout holds, what stderr says, and the exit status."""

import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lookalike.embed import BASE_MODEL
from lookalike.errors import CollectionError
from lookalike.search import open_collection
from lookalike.store.lance import store as lance_store
from tests.cli.conftest import Cli
from tests.conftest import COLOURS, encode, picture


@pytest.fixture
def indexed(cli: Cli, photos: Path) -> Path:
    assert cli("index", photos).code == 0
    return photos


def lines(out: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines()]


def test_index_counts_on_stderr_and_keeps_stdout_clean(cli: Cli, photos: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"bad")
    ran = cli("index", photos)
    assert (ran.code, ran.out) == (0, "")
    assert "5 added, 1 skipped" in ran.err
    assert "bad.jpg" in ran.err
    assert "5 unchanged" in cli("index").err


def test_index_as_json_is_one_object(cli: Cli, photos: Path) -> None:
    (report,) = lines(cli("index", photos, "--json").out)
    assert (report["added"], report["images"], report["failed"]) == (5, 5, [])


def test_search_prints_rank_score_path(cli: Cli, indexed: Path) -> None:
    ran = cli("search", indexed / "red.png", "-k", 3)
    assert ran.code == 0
    first = ran.out.splitlines()[0].split()
    assert first == ["1", "1.000", str(indexed / "red.png")]
    assert len(ran.out.splitlines()) == 3


def test_search_as_json_has_the_documented_names(cli: Cli, indexed: Path) -> None:
    hits = lines(cli("search", indexed / "red.png", "--json", "-k", 2).out)
    assert [h["rank"] for h in hits] == [1, 2]
    assert {"query", "rank", "id", "path", "score", "width", "height", "format", "label", "sha256"} <= set(hits[0])
    assert hits[0]["query"] == str(indexed / "red.png")
    assert hits[0]["id"] == "photos/red.png"


def test_search_takes_all_its_options_together(cli: Cli, indexed: Path, tmp_path: Path) -> None:
    ran = cli(
        "search", indexed / "red.png", indexed / "blue.png", "--minus", indexed / "green.png",
        "--region", "0.2,0.1,0.5,0.6", "--where", "width > 10", "--min-score", "-1", "--json",
        "--plot", tmp_path / "found.png",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert len(lines(ran.out)) == 5
    assert (tmp_path / "found.png").read_bytes().startswith(b"\x89PNG")


def test_a_query_may_come_on_stdin_or_as_an_id(cli: Cli, indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO((indexed / "blue.png").read_bytes())

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert lines(cli("search", "-", "-k", 1, "--json").out)[0]["id"] == "photos/blue.png"
    assert "photos/blue.png" not in [h["id"] for h in lines(cli("search", "id:photos/blue.png", "--json").out)]


def test_a_list_of_files_may_come_on_stdin(cli: Cli, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(f"{photos / 'red.png'}\n{photos / 'nowhere.png'}\n{photos / 'blue.png'}\n".encode())

    monkeypatch.setattr(sys, "stdin", Stdin)
    ran = cli("index", "-")
    assert (ran.code, "2 added, 1 skipped" in ran.err) == (0, True)


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["search", "nowhere.png"], 1, "nowhere.png"),
        (["search", "id:nobody"], 1, "nobody"),
        (["search", "{red}", "--where", "nonsense <"], 2, "nonsense"),
        (["search", "{red}", "--region", "1,2"], 2, "four numbers"),
        (["search", "{red}", "--plot", "/nowhere/x.png"], 1, "could not be written"),
        (["search", "{red}", "-k", "0"], 2, "-k"),
        (["search", "{red}", "--min-score", "7"], 2, "min-score"),
        (["search"], 2, "QUERY"),
        (["serach"], 2, "serach"),
        (["index", "/nowhere/at/all"], 1, "/nowhere/at/all"),
        (["index", "{folder}", "--model", "no-such"], 1, "no model is called 'no-such'"),
        (["remove", "/nowhere"], 1, "/nowhere"),
        (["embed", "{red}", "-o", "x.txt"], 2, ".npy"),
        (["info", "-c", "/nowhere/at/all"], 1, "lookalike index"),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_a_status(
    cli: Cli, indexed: Path, args: list[str], code: int, message: str
) -> None:
    ran = cli(*(a.format(red=indexed / "red.png", folder=indexed) for a in args))
    assert ran.code == code
    assert message in ran.err
    assert "Traceback" not in ran.err
    if code == 1:
        assert len([line for line in ran.err.splitlines() if line.startswith("error: ")]) == 1


def test_an_empty_folder_says_so_and_fails(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = cli("index", tmp_path / "empty")
    assert ran.code == 1
    assert "no images found" in ran.err


def test_nothing_to_index_says_what_to_type(cli: Cli) -> None:
    ran = cli("index")
    assert ran.code == 1
    assert "lookalike index ~/Pictures" in ran.err


def test_info_tells_counts_model_and_folders(cli: Cli, indexed: Path) -> None:
    (facts,) = lines(cli("info", "--json").out)
    assert facts["license"] == facts["licence"] == "Apache-2.0"
    assert (facts["images"], facts["failed"]) == (5, 0)
    assert facts["roots"] == [{"path": str(indexed), "kind": "folder", "present": True}]
    assert "efficientnet" in cli("info").out


def test_a_collection_of_an_earlier_default_model_works_and_says_how_to_use_the_present_one(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    ran = cli("index", photos, "-c", tmp_path / "earlier", "--model", BASE_MODEL)
    assert ran.code == 0
    advice = f"lookalike index {photos} -c NEW"
    assert advice in ran.err
    assert advice in cli("info", "-c", tmp_path / "earlier").out
    assert cli("search", photos / "red.png", "-c", tmp_path / "earlier").out.count("\n") == 5
    for verb in (("index", photos), ("info",)):
        ran = cli(*verb)
        assert ran.code == 0
        assert "-c NEW" not in ran.out + ran.err


def test_an_index_is_built_told_and_dropped(
    cli: Cli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lance_store, "INDEX_ROWS", 3)
    ran = cli("index", photos)
    assert ran.code == 0
    assert "building the search index of 5 images, about 1 minute\n" in ran.err
    (facts,) = lines(cli("info", "--json").out)
    index = facts["index"]
    assert isinstance(index, dict)
    assert (index["images"], index["indexed"]) == (5, 5)
    assert "index       5 images; finds 100% of the ten nearest" in cli("info").out
    assert "index       5 images" in cli("optimize").out
    assert lines(cli("optimize", "--json").out)[0]["index"] == index
    hits = [cli("search", photos / "red.png", *options).out for options in ((), ("--exact",), ("--recall", "0.9"))]
    assert hits[0].count("\n") == 5
    assert hits[0] == hits[1] == hits[2]
    (codes,) = (tmp_path / "collection" / "vector_index").glob("*/lists.bin")
    codes.write_bytes(codes.read_bytes()[:10])
    ran = cli("search", photos / "red.png")
    assert ran.out == hits[0]
    assert "vector_index is damaged or of another version, and is not used; build it again with: " in ran.err
    assert "index       none, and a search compares all images; build one with: lookalike optimize" in cli("info").out
    assert "index       5 images" in cli("optimize").out
    assert cli("search", photos / "red.png").err == ""
    assert lines(cli("optimize", "--drop-index", "--json").out) == [{"dropped": True}]
    assert cli("optimize", "--drop-index").err == "there is no index\n"
    assert lines(cli("info", "--json").out)[0]["index"] is None
    assert cli("search", photos / "red.png").out == hits[0]


def test_exact_and_recall_are_one_option_too_many(cli: Cli, indexed: Path) -> None:
    ran = cli("search", indexed / "red.png", "--exact", "--recall", "0.9")
    assert ran.code == 2
    assert "--exact" in ran.err


def test_a_small_collection_has_no_index(cli: Cli, indexed: Path) -> None:
    assert cli("optimize").out == "index       none: a search compares all images\n"


def test_info_lists_the_columns_with_their_types(cli: Cli, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"path,price\n{photos / 'red.png'},3.5\n")
    assert cli("index", tmp_path / "list.csv").code == 0
    (facts,) = lines(cli("info", "--json").out)
    columns = facts["columns"]
    assert isinstance(columns, dict)
    assert columns | {"price": "float", "label": "str", "width": "int", "plain": "bool"} == columns
    assert all(f"{name} {kind}" in cli("info").out for name, kind in columns.items())


def test_index_says_which_columns_it_renames(cli: Cli, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"path,width,shop\n{photos / 'red.png'},ten,x\n")
    ran = cli("index", tmp_path / "list.csv", "--json")
    assert "fills those of that name itself: width as width_\n" in ran.err
    assert lines(ran.out)[0]["renamed_columns"] == {"width": "width_"}


def test_info_lists_failures(cli: Cli, photos: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"bad")
    cli("index", photos)
    (failure,) = lines(cli("info", "--failures", "--json").out)
    assert failure["path"] == str(photos / "bad.jpg")


def test_why_knows_every_case(cli: Cli, photos: Path, write: Callable[..., Path], tmp_path: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"bad")
    (photos / ".hidden.png").write_bytes((photos / "red.png").read_bytes())
    cli("index", photos)
    write("late.png", "green", seed=3)
    outside = tmp_path / "outside.png"
    outside.write_bytes(encode(picture(COLOURS["red"])))

    def state(path: Path) -> object:
        return lines(cli("why", path, "--json").out)[0]["state"]

    assert state(photos / "red.png") == "indexed"
    assert state(photos / "bad.jpg") == "failed"
    assert state(photos / ".hidden.png") == "passed over"
    assert state(photos / "late.png") == "new"
    assert state(outside) == "outside"
    assert state(tmp_path / "nowhere.png") == "absent"


@pytest.mark.parametrize("name", ["@Recycle", "#snapshot", "@eaDir", "$RECYCLE.BIN", ".Trash-1000", "L.photoslibrary"])
def test_why_tells_of_a_recycle_bin_or_snapshot_and_how_to_index_it(cli: Cli, photos: Path, name: str) -> None:
    inside = photos / name / "originals" / "red.png"
    inside.parent.mkdir(parents=True)
    inside.write_bytes((photos / "red.png").read_bytes())
    indexed = cli("index", photos, "--json")
    assert lines(indexed.out)[0]["added"] == 5
    library = [str(photos / name)] if name.endswith("library") else []
    assert lines(indexed.out)[0]["skipped_libraries"] == library
    assert ("a photo library, was skipped" in indexed.err) == bool(library)
    (answer,) = lines(cli("why", inside, "--json").out)
    assert answer["state"] == "passed over"
    assert f"is in {photos / name}, a" in answer["answer"]
    assert f"lookalike index {shlex.quote(str(inside))}" in answer["answer"]
    assert lines(cli("index", photos / name, "--json").out)[0]["added"] == 1
    (answer,) = lines(cli("why", inside, "--json").out)
    assert (answer["state"], str(photos / name) in answer["answer"]) == ("indexed", True)
    for source in ([photos], []):
        (report,) = lines(cli("index", *source, "--json").out)
        assert (report["removed"], report["skipped_libraries"]) == (0, []), "what was named stays"


def test_index_counts_skipped_camera_raw_files(cli: Cli, photos: Path) -> None:
    assert "raw" not in cli("index", photos).err
    (photos / "sub").mkdir()
    for name in ("a.NEF", "sub/b.dng", "sub/c.CR3"):
        (photos / name).write_bytes(b"raw")
    ran = cli("index", photos, photos / "sub", "--json")
    assert "3 camera raw files were skipped" in ran.err
    assert lines(ran.out)[0]["skipped_raw"] == 3


def test_remove_takes_files_and_whole_folders(cli: Cli, indexed: Path) -> None:
    assert "1 image removed" in cli("remove", indexed / "red.png").err
    assert "1 image removed" in cli("remove", "id:photos/blue.png").err
    assert "3 images removed" in cli("remove", indexed).err
    assert len(list(indexed.iterdir())) == 5
    assert cli("index").code == 1


def test_embed_writes_an_array_and_its_rows(cli: Cli, photos: Path, tmp_path: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"bad")
    ran = cli("embed", photos, "-o", tmp_path / "v.npy", "--json")
    assert ran.code == 0
    vectors = np.load(tmp_path / "v.npy")
    rows = lines(ran.out)
    assert len(vectors) == len(rows) == 5
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert "bad.jpg" in ran.err
    cli("embed", photos / "red.png", "-o", tmp_path / "v.npz")
    with np.load(tmp_path / "v.npz") as arrays:
        assert np.allclose(
            arrays["vectors"][0], vectors[[r["path"] for r in rows].index(str(photos / "red.png"))], atol=1e-5
        )


def test_models_lists_the_default(cli: Cli) -> None:
    ran = cli("models", "--json")
    assert [m["name"] for m in lines(ran.out) if m["default"]]


def test_help_names_every_verb(cli: Cli) -> None:
    ran = cli("--help")
    for verb in ("index", "search", "info", "why", "remove", "embed", "models", "demo"):
        assert verb in ran.out
        assert cli(verb, "--help").code == 0


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def modules_after(*args: str) -> list[str]:
    """The modules that a run of the command line has loaded in a process of its own."""
    code = (
        f"import sys; sys.argv[1:] = {list(args)!r}\n"
        "try:\n    from lookalike.cli.main import run; run()\nexcept SystemExit: pass\nprint('MODULES', *sys.modules)"
    )
    return run_python(code).split("MODULES")[1].split()


def test_importing_lookalike_loads_numpy_and_nothing_heavy() -> None:
    heavy = ("cv2", "PIL", "onnxruntime", "lance", "pyarrow", "faiss", "torch", "matplotlib", "typer", "rich", "pandas")
    loaded = run_python("import sys, lookalike; dir(lookalike); print(*sys.modules)").split()
    assert not set(heavy) & set(loaded)
    assert {name for name in loaded if name.split(".")[0] == "lookalike"} == {"lookalike", "lookalike._version"}


@pytest.mark.parametrize("name", ["cluster", "duplicates", "errors", "evaluate", "plot", "relate", "types"])
def test_a_package_is_loaded_when_it_is_first_used(name: str) -> None:
    code = (
        f"import sys, lookalike; before = 'lookalike.{name}' in sys.modules\n"
        f"print(before, lookalike.{name}.__name__, '{name}' in dir(lookalike), 'torch' in sys.modules)"
    )
    assert run_python(code).split() == ["False", f"lookalike.{name}", "True", "False"]


def test_every_name_of_a_notebook_is_imported_at_once() -> None:
    code = (
        "import lookalike; before = {*globals(), 'before'}\n"
        "from lookalike import *\n"
        "print({*globals()} - before == {*lookalike.__all__} - before, 'types' in globals())"
    )
    assert run_python(code).split() == ["True", "False"]


def test_help_loads_nothing_heavy() -> None:
    loaded = modules_after("--help")
    heavy = {"numpy", "cv2", "PIL", "onnxruntime", "lance", "pyarrow", "faiss", "torch", "matplotlib", "rich.console"}
    assert not heavy & set(loaded)


def test_a_cold_search_loads_no_torch_no_matplotlib_no_pandas(cli: Cli, indexed: Path) -> None:
    loaded = modules_after("search", str(indexed / "red.png"))
    assert "onnxruntime" in loaded
    assert not {"torch", "matplotlib", "pandas", "fastapi", "faiss", "scipy", "sklearn"} & set(loaded)


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to one process on Windows")
def test_ctrl_c_stops_after_the_batch_and_says_how_to_go_on(tmp_path: Path, write: Callable[..., Path]) -> None:
    for n in range(1200):
        folder = write(f"{n}.png", "red", seed=n).parent
    command = [sys.executable, "-m", "lookalike", "index", str(folder), "-c", str(tmp_path / "c"), "--workers", "1"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not _rows(tmp_path / "c") and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=180)
    assert child.returncode == 130, err
    assert "Continue with the same command" in err
    assert "Traceback" not in err
    assert 0 < _rows(tmp_path / "c") < 1200


def _rows(uri: Path) -> int:
    """How many rows were committed so far."""
    try:
        with open_collection(str(uri), create=False, read_only=True) as photos:
            return len(photos)
    except CollectionError:
        return 0


def test_remove_drops_columns(cli: Cli, photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    lines = "".join(f"{path},{n},x\n" for n, path in enumerate(sorted(photos.iterdir())))
    table.write_text("path,price,shop\n" + lines)
    assert cli("index", table).code == 0
    assert cli("remove", "--column", "price", "--column", "shop").code == 0
    assert "price" not in cli("search", next(photos.iterdir()), "--json").out
    assert "there is no column 'price'" in cli("remove", "--column", "price").err
    assert "belongs to the collection itself" in cli("remove", "--column", "width").err
    nothing = cli("remove")
    assert (nothing.code, "nothing to remove" in nothing.err) == (2, True)


def test_why_tells_of_high_dynamic_range(cli: Cli, photos: Path) -> None:
    data = (next(photos.glob("*.png"))).read_bytes()
    code_points = bytes((9, 16, 0, 1))
    chunk = b"\0\0\0\4cICP" + code_points + zlib.crc32(b"cICP" + code_points).to_bytes(4, "big")
    (photos / "bright.png").write_bytes(data[:33] + chunk + data[33:])
    cli("index", photos)
    assert "in high dynamic range (PQ), tone-mapped" in cli("why", photos / "bright.png").out
    assert "tone-mapped" not in cli("why", next(photos.glob("red*.png"))).out
