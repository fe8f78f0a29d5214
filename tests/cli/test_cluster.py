"""cluster, label, outliers, representatives, map: output, files, and error messages."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lookalike.cluster.labels import SUSPECTS
from lookalike.search import open_collection
from lookalike.search.saved_results import saved_result
from tests.cli.conftest import Cli
from tests.conftest import ColourEmbedder, encode, picture

SHADES = {"red": (230, 30, 30), "green": (30, 200, 40), "blue": (30, 50, 230)}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Callable[..., Path]:
    """shop(8): that many images of each of three colors in a folder per color, indexed by their mean color."""
    del cli  # it names the default collection
    monkeypatch.setattr("lookalike.search.collection.get_embedder", lambda *_: ColourEmbedder())

    def _shop(each: int, start: int = 0) -> Path:
        folder = tmp_path / "shop"
        for n, (name, shade) in enumerate(SHADES.items()):
            for m in range(start, start + each):
                file = folder / name / f"{m:02d}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                tint = np.clip(np.array(shade) + np.random.default_rng(100 * n + m).integers(-25, 26, 3), 0, 255)
                file.write_bytes(encode(picture(tuple(tint), seed=m)))
        with open_collection(model=ColourEmbedder()) as photos:
            photos.sync(folder)
        return folder

    return _shop


def lines(out: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines()]


def test_cluster_prints_saves_and_writes(cli: Cli, shop: Callable[..., Path], tmp_path: Path) -> None:
    shop(6)
    ran = cli("cluster", "--levels", "2,3", "--json", "-o", tmp_path / "out", "--tree", "links")
    assert ran.code == 0, ran.err
    clusters = lines(ran.out)
    assert [c["cluster"] for c in clusters if str(c["cluster"]).startswith("3/")] == ["3/0", "3/1", "3/2"]
    assert [c["size"] for c in clusters if str(c["cluster"]).startswith("3/")] == [6, 6, 6]
    assert {"cluster", "parent", "size", "tightness", "name", "medoids"} == set(clusters[0])
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {"clusters.csv", "clusters.html", "level-2.png", "level-3.png", "tree"}
    rows = list(csv.DictReader((tmp_path / "out" / "clusters.csv").read_text().splitlines()))
    assert len({(row["id"].split("/")[1], row["level_3"]) for row in rows}) == 3
    assert sum(p.is_symlink() for p in (tmp_path / "out" / "tree").rglob("*")) == 18


def test_cluster_replaces_only_its_own_files_in_a_used_folder(
    cli: Cli, shop: Callable[..., Path], tmp_path: Path
) -> None:
    shop(6)
    out = tmp_path / "out"
    assert cli("cluster", "--levels", "2,3", "-o", out, "--tree", "links").code == 0
    (out / "level-headed.png").write_text("mine")
    ran = cli("cluster", "--levels", "4", "-o", out, "--tree", "links", "--table", "parquet")
    assert ran.code == 0, ran.err
    assert {p.name for p in out.iterdir()} == {
        *("clusters.parquet", "clusters.html", "level-4.png", "level-headed.png", "tree")
    }
    assert len(list((out / "tree").iterdir())) == 4
    (out / "tree" / "000" / "mine.txt").write_text("mine")
    ran = cli("cluster", "--levels", "2", "-o", out, "--tree", "links")
    assert ran.code == 1
    assert "tree is not empty" in ran.err
    assert (out / "level-4.png").exists()
    (status,) = lines(cli("cluster", "--status", "--json").out)
    assert status["levels"] == [4]


def test_identical_images_are_explained(cli: Cli, tmp_path: Path) -> None:
    with open_collection(tmp_path / "same", model=ColourEmbedder()) as photos:
        photos.add([picture((200, 30, 30))] * 40, [str(n) for n in range(40)])
    ran = cli("cluster", "-c", tmp_path / "same")
    assert "the model cannot tell the 40 images apart" in ran.err
    pytest.importorskip("sklearn")
    ran = cli("cluster", "-c", tmp_path / "same", "--method", "density")
    assert ran.out.split()[:2] == ["1/0", "40"]
    assert "in none" not in ran.err


def test_indexed_images_join_a_cluster_and_status_counts_them(cli: Cli, shop: Callable[..., Path]) -> None:
    folder = shop(6)
    assert cli("cluster", "--levels", "3").code == 0
    shade = (235, 25, 25)
    (folder / "red" / "new.png").write_bytes(encode(picture(shade, seed=77)))
    ran = cli("index", folder)
    assert "1 new image joined the nearest cluster" in ran.err
    (status,) = lines(cli("cluster", "--status", "--json").out)
    assert (status["clustered"], status["joined"], status["levels"]) == (18, 1, [3])
    assert "joined" not in cli("index", folder).err


def test_label_spread_suspects_and_naming(cli: Cli, shop: Callable[..., Path], tmp_path: Path) -> None:
    shop(12)
    rows = [f"shop/{color}/{n:02d}.png,{color}" for color in ("red", "green") for n in range(5)]
    file = tmp_path / "labels.csv"
    file.write_text("\n".join(["id,label", *rows, "nobody,x"]))
    ran = cli("label", file, "--spread", "--json", "--plot", tmp_path / "true.png")
    assert ran.code == 0, ran.err
    labels = {str(row["id"]): row["label"] for row in lines(ran.out)}
    assert len(labels) == 36
    assert {labels[f"shop/blue/{n:02d}.png"] for n in range(12)} == {None}
    assert sum(labels[f"shop/red/{n:02d}.png"] == "red" for n in range(12)) >= 9
    assert "1 line matches no image of the collection: nobody" in ran.err
    assert "expected calibration error" in ran.err
    assert (tmp_path / "true.png").stat().st_size > 5000
    file.write_text("id,label\nshop/red/06.png,green\n")
    (suspect,) = lines(cli("label", file, "--suspects", "--json").out)
    assert suspect["neighbors"] == suspect["neighbours"]
    assert (suspect["id"], suspect["label"], suspect["instead"]) == ("shop/red/06.png", "green", "red")
    assert cli("label", "--spread", "--json").code == 0
    with open_collection(None, create=False, read_only=True) as photos:  # for the page of the server
        saved = saved_result(photos, SUSPECTS)
    assert saved is not None
    assert [suspect["id"] for suspect in saved["suspects"]] == ["shop/red/06.png"]


def test_a_label_file_is_saved_completely_or_not_at_all(cli: Cli, shop: Callable[..., Path], tmp_path: Path) -> None:
    shop(6)
    assert cli("cluster", "--levels", "3").code == 0
    file = tmp_path / "labels.csv"
    file.write_text("cluster,label\n3/0,boots\n3/99,x\n")
    for more in ((), ("--folders",)):
        ran = cli("label", file, *more)
        assert ran.code == 1
        assert "there is no cluster '3/99'" in ran.err
        assert "has no label yet" in cli("label").err


def test_conflicting_labels_are_reported(cli: Cli, shop: Callable[..., Path], tmp_path: Path) -> None:
    shop(2)
    (tmp_path / "labels.csv").write_text("id,label\nshop/red/00.png,boot\nshop/red/00.png,shoe\n")
    ran = cli("label", tmp_path / "labels.csv")
    assert "1 label read" in ran.err
    assert "1 id with several different labels; the last line counts: shop/red/00.png" in ran.err
    assert "1 of 6 images are labeled, with 1 label;" in ran.err


def test_spread_and_suspects_cannot_both_be_printed(cli: Cli, shop: Callable[..., Path], tmp_path: Path) -> None:
    shop(12)
    assert cli("label", "--folders").code == 0
    (tmp_path / "labels.csv").write_text("id,label\nshop/red/06.png,green\n")
    ran = cli("label", tmp_path / "labels.csv", "--spread", "--suspects", "-o", tmp_path / "names.csv", "--json")
    assert ran.code == 0, ran.err
    assert [row["instead"] for row in lines(ran.out)] == ["red"]
    assert len((tmp_path / "names.csv").read_text().splitlines()) == 37
    assert cli("label", "--spread", "--suspects").code == 2
    assert cli("label", "--suspects", "-o", tmp_path / "x.csv").code == 2


def test_output_is_checked_before_anything_is_saved(cli: Cli, shop: Callable[..., Path], tmp_path: Path) -> None:
    shop(6)
    rows = [f"shop/{color}/{n:02d}.png,{color}" for color in ("red", "green") for n in range(3)]
    (tmp_path / "labels.csv").write_text("\n".join(["id,label", *rows]))
    (tmp_path / "file").write_text("")
    ran = cli("label", tmp_path / "labels.csv", "--spread", "--plot", tmp_path / "file" / "x.png")
    assert ran.code == 1
    assert "x.png cannot be written" in ran.err
    for verb in (("label", tmp_path / "labels.csv", "--spread"), ("outliers",)):
        ran = cli(*verb, "-o", tmp_path / "x.xlsx")
        assert ran.code == 2
        assert "does not end in .csv or .parquet" in " ".join(ran.err.split())
    assert "has no label yet" in cli("label").err


def test_folders_are_labels_and_clusters_take_their_names(cli: Cli, shop: Callable[..., Path]) -> None:
    shop(6)
    assert "18 of 18 images are labeled, with 3 labels" in cli("label", "--folders").err
    ran = cli("cluster", "--levels", "3")
    assert {line.split()[-1] for line in ran.out.splitlines()} == set(SHADES)
    assert "level 3: NMI 1.000, ARI 1.000, purity 1.000 against 18 labels" in ran.err


def test_outliers_and_representatives(cli: Cli, shop: Callable[..., Path], tmp_path: Path) -> None:
    folder = shop(8)
    (folder / "odd.png").write_bytes(encode(picture((5, 5, 5))))
    with open_collection(model=ColourEmbedder()) as photos:
        photos.sync(folder)
    first, *_ = lines(cli("outliers", "-k", 3, "--json", "--plot", tmp_path / "o.png", "-o", tmp_path / "o.csv").out)
    assert (first["rank"], first["id"]) == (1, "shop/odd.png")
    rows = list(csv.DictReader((tmp_path / "o.csv").read_text().splitlines()))
    assert len(rows) == 25
    odd = next(row for row in rows if row["id"] == "shop/odd.png")
    assert (odd["nearest"], float(odd["score"])) == (first["nearest"], first["score"])
    chosen = lines(cli("representatives", "-k", 4, "--json", "--plot", tmp_path / "r.png").out)
    assert {Path(str(row["id"])).parent.name for row in chosen} == {"red", "green", "blue", "shop"}
    assert sum(int(str(row["stands_for"])) for row in chosen) == 25
    assert (tmp_path / "o.png").exists()
    assert (tmp_path / "r.png").exists()


def test_map_writes_a_page_and_a_figure(cli: Cli, shop: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("openTSNE")
    shop(4)
    ran = cli("map", "-o", tmp_path / "map.html")
    assert ran.code == 0, ran.err
    assert (tmp_path / "map.png").stat().st_size > 5000
    assert "shop/red/00.png" in (tmp_path / "map.html").read_text()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (("cluster", "--levels", "99"), "levels 99 of 3 images cannot be made"),
        (("cluster", "--status"), "has no clusters yet; run: lookalike cluster"),
        (("label", "--spread"), "it has no label yet; run: lookalike label labels.csv"),
    ],
)
def test_an_error_is_one_sentence(cli: Cli, shop: Callable[..., Path], typed: tuple[str, ...], message: str) -> None:
    shop(1)
    ran = cli(*typed)
    assert ran.code == 1
    assert message in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (("cluster", "--levels", "many"), "such as 8,64,512, or auto"),
        (("cluster", "--levels", "8,,9"), "--levels: '8,,9' is not understood"),
        (("cluster", "--method", "densty"), "nearest: density"),
        (("cluster", "--tree", "links"), "name one with -o FOLDER"),
        (("cluster", "--table", "xlsx"), "--table: 'xlsx' is not known"),
    ],
)
def test_a_usage_error_exits_with_2(cli: Cli, typed: tuple[str, ...], message: str) -> None:
    ran = cli(*typed)
    assert ran.code == 2
    assert message in " ".join(ran.err.split())


def test_a_collection_of_one_image(cli: Cli, shop: Callable[..., Path], tmp_path: Path) -> None:
    folder = shop(1)
    for name in ("red", "green"):
        (folder / name / "00.png").unlink()
    with open_collection(model=ColourEmbedder()) as photos:
        photos.sync(folder, options=None)
        photos.remove(["shop/red/00.png", "shop/green/00.png"])
        assert len(photos) == 1
    assert cli("cluster", "-o", tmp_path / "out").code == 0
    ran = cli("outliers", "--plot", tmp_path / "o.png")
    assert ran.code == 0
    assert "-1.000" not in ran.out
    assert "there is only one image" in ran.err
    assert cli("representatives").code == 0
    assert cli("map", "-o", tmp_path / "m.html").code == 0


def test_index_without_clusters_loads_neither_faiss_nor_cluster(tmp_path: Path, shop: Callable[..., Path]) -> None:
    folder = shop(1)
    script = (
        "import sys; sys.argv[1:] = ['index', sys.argv[1]]\n"
        "try:\n    from lookalike.cli.main import run; run()\nexcept SystemExit: pass\n"
        "print([m for m in ('faiss', 'lookalike.cluster', 'sklearn', 'matplotlib', 'openTSNE') if m in sys.modules])"
    )
    with open_collection(tmp_path / "fresh") as photos:
        photos.sync(folder)
    command = [sys.executable, "-c", script, str(folder)]
    out = subprocess.run(
        command, capture_output=True, text=True, check=True, env=_environment(tmp_path / "fresh")
    ).stdout
    assert re.search(r"\[\]\s*$", out)


def _environment(collection: Path) -> dict[str, str]:
    import os

    return os.environ | {"LOOKALIKE_COLLECTION": str(collection)}


def test_label_says_which_labels_it_keeps(cli: Cli, shop: Callable[..., Path], tmp_path: Path) -> None:
    shop(2)
    (tmp_path / "labels.csv").write_text("id,label\nshop/red/00.png,boot\n")
    assert cli("label", tmp_path / "labels.csv").code == 0
    ran = cli("label", "--folders")
    assert "1 label given before was kept (shop/red/00.png); replace with --overwrite" in ran.err
    assert "with 4 labels" in ran.err
    ran = cli("label", "--folders", "--overwrite")
    assert "1 label given before was replaced: shop/red/00.png" in ran.err
    assert "with 3 labels" in ran.err
    assert "given before" not in cli("label", "--folders").err
    assert cli("label", "--overwrite").code == 2
