"""Pictures on their way into training: the cache, views, batches, the loader, pairs, settings. Needs no torch."""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import COLOURS, picture

from lookalike.errors import BadQuery, SourceError
from lookalike.train.config import AutoencoderConfig, SimilarityConfig, from_text, read_toml, to_toml
from lookalike.train.data.augment import RECIPES, Recipe, view, views_of
from lookalike.train.data.cache import cache_images, delete_cache
from lookalike.train.data.loader import Loader
from lookalike.train.data.pairs import read_pairs
from lookalike.train.data.sampling import balanced, shuffled, two_views, with_partners

PICTURE = picture(COLOURS["orange"], size=(64, 64))


def test_the_cache_holds_each_picture_and_leaves_out_the_bad(tmp_path, photos):
    (photos / "bad.jpg").write_bytes(b"no picture")
    paths = sorted(str(p) for p in photos.iterdir())
    cached = cache_images(paths, tmp_path / "cache", side=16)
    assert cached.pixels.shape == (6, 16, 16, 3)
    assert [paths[row].rsplit("/", 1)[1] for row in cached.rows] == [
        f"{c}.png" for c in ("blue", "green", "orange", "red", "violet")
    ]
    assert [failure.path for failure in cached.failed] == [str(photos / "bad.jpg")]
    assert np.abs(cached.pixels[paths.index(str(photos / "red.png"))].mean((0, 1)) - COLOURS["red"]).max() < 12


def test_the_cache_is_used_again_and_rebuilt_for_another_side(tmp_path, photos, monkeypatch):
    paths = sorted(str(p) for p in photos.iterdir())
    cache_images(paths, tmp_path, side=16)
    calls = []
    for side in (16, 8):
        cache_images(paths, tmp_path, side=side, progress=lambda done, total: calls.append(done))
        assert bool(calls) == (side == 8)
    delete_cache(tmp_path)
    assert not list(tmp_path.glob("pictures*"))


def test_no_readable_picture_is_an_error(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"x")
    with pytest.raises(SourceError, match="none of 1 images"):
        cache_images([str(tmp_path / "bad.jpg")], tmp_path / "cache", side=16)


@pytest.mark.parametrize("name", RECIPES)
def test_views_have_the_asked_size_and_follow_their_seed(name):
    pixels = np.stack([PICTURE, PICTURE[::-1]])
    make = views_of(pixels, RECIPES[name], 32)
    rows = np.array([0, 1, 0, 0])
    first = make(rows, [0, 1])
    assert first.shape == (4, 32, 32, 3)
    assert first.dtype == np.uint8
    assert (first == make(rows, [0, 1])).all()
    assert (first == make(rows, [0, 2])).all() == (name == "none")
    assert (pixels[0] == PICTURE).all()


def test_geometry_by_hand():
    half = np.zeros((32, 32, 3), np.uint8)
    half[:, 16:] = 200
    flipped = view(half, Recipe(flip=1.0), 32, np.random.default_rng(0))
    assert flipped[:, :14].min() == 200
    assert flipped[:, 18:].max() == 0
    turned = view(half, Recipe(turn=1.0), 32, np.random.default_rng(0))
    assert {int(turned[2, 16, 0]), int(turned[29, 16, 0]), int(turned[16, 2, 0]), int(turned[16, 29, 0])} == {0, 200}
    same = view(half, replace(Recipe(), crop=0.999999), 32, np.random.default_rng(0))
    assert np.abs(same.astype(int) - half).mean() < 2


def test_colours_by_hand():
    gray = view(PICTURE, Recipe(gray=1.0), 64, np.random.default_rng(0))
    assert (gray.max(axis=2).astype(int) - gray.min(axis=2)).max() <= 1
    inverted = view(PICTURE, Recipe(invert=1.0), 64, np.random.default_rng(0))
    assert np.abs(inverted.astype(int) + PICTURE - 255).mean() < 2


def test_shuffled_is_a_permutation_and_leaves_no_picture_alone():
    plan = shuffled(10, 4, (0, 0))
    assert sorted(np.concatenate(plan).tolist()) == list(range(10))
    assert sorted(map(len, shuffled(9, 4, (0, 0)))) == [4, 4]
    assert [a.tolist() for a in plan] == [b.tolist() for b in shuffled(10, 4, (0, 0))]
    assert [a.tolist() for a in plan] != [b.tolist() for b in shuffled(10, 4, (0, 1))]


def test_balanced_gives_rare_labels_as_much_room_as_frequent_ones():
    labels = np.array([0] * 90 + [1] * 8 + [2] * 2)
    plan = balanced(labels, 12, 4, (0, 0))
    counts = np.bincount(labels[np.concatenate(plan)])
    assert counts.max() - counts.min() <= 4
    assert all(np.bincount(labels[rows], minlength=3).max() == 4 for rows in plan)


def test_few_labels_still_fill_the_batch():
    (rows, *_) = balanced(np.arange(100) % 2, 32, 4, (0, 0))
    assert len(rows) == 32


def test_twice_and_partners():
    assert [rows.tolist() for rows in two_views([np.array([3, 1])])] == [[3, 1, 3, 1]]
    (rows,) = with_partners([np.array([0, 1])], {0: [7]}, 8, (0, 0))
    assert rows.tolist() == [0, 1, 7]


def test_the_loader_keeps_the_order_and_counts_its_waits():
    def slow(rows: np.ndarray, seed: object) -> np.ndarray:
        time.sleep(0.02 * (3 - int(rows[0]) % 3))
        return rows * 10

    loader = Loader(slow, 3)
    plan = [np.array([n, n]) for n in range(9)]
    got = [(rows.tolist(), views.tolist()) for rows, views in loader.batches(plan, (0, 0), start=2)]
    assert got == [([n, n], [10 * n, 10 * n]) for n in range(2, 9)]
    assert loader.waited > 0.02
    loader.close()


def test_views_do_not_depend_on_the_number_of_threads():
    make = views_of(PICTURE[None], RECIPES["edits"], 24)
    plan = [np.array([0, 0])] * 6
    results = []
    for workers in (1, 3):
        loader = Loader(make, workers)
        results.append(np.stack([views for _, views in loader.batches(plan, (5, 1))]))
        loader.close()
    assert (results[0] == results[1]).all()


PATHS = [f"/p/{name}.png" for name in "abcdef"]


def pairs(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "pairs.csv"
    file.write_text(text)
    return file


def test_pairs_tie_and_part(tmp_path):
    read = read_pairs(pairs(tmp_path, "a,b,same\n/p/a.png,b.png,1\nb.png,c.png,yes\nd.png,a.png,0\n"), PATHS)
    assert read.labels[0] == read.labels[1] == read.labels[2] != read.labels[3]
    assert read.labels[4:] == ["", ""]
    assert read.partners == {3: [0], 0: [3]}


def test_pairs_as_spreadsheets_and_programs_write_them(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = {"a": ["a.png", "d.png"], "b": ["b.png", "a.png"], "same": [1, 0]}
    pq.write_table(pa.table(rows), tmp_path / "pairs.parquet")
    semicolons = pairs(tmp_path, "\ufeffa;b;same\na.png;b.png;1\nd.png;a.png;0\n")
    for file in (tmp_path / "pairs.parquet", semicolons):
        read = read_pairs(file, PATHS)
        assert (read.pairs, read.partners) == (2, {3: [0], 0: [3]})
        assert read.labels[0] == read.labels[1]


def test_settings_with_a_byte_order_mark(tmp_path):
    (tmp_path / "run.toml").write_text("\ufeffepochs = 3\n", encoding="utf-8")
    assert read_toml(tmp_path / "run.toml") == {"epochs": 3}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,b\na.png,x.png\n", r"1 files that the split does not have; the first is x\.png \(nearest"),
        ("a,b,same\na.png,b.png,1\nb.png,c.png,1\na.png,c.png,0\n", "differ, but other pairs equate them"),
        ("a,b,same\na.png,b.png,maybe\n", "line 2: 'maybe'"),
        ("a\na.png\n", "has no pairs"),
    ],
)
def test_pairs_that_cannot_be_used(tmp_path, text, reason):
    with pytest.raises(SourceError, match=reason):
        read_pairs(pairs(tmp_path, text), PATHS)


def test_a_misspelt_setting_is_answered_by_the_nearest(tmp_path):
    (tmp_path / "run.toml").write_text("epcohs = 3\n")
    with pytest.raises(BadQuery, match=r"run.toml: 'epcohs' is not a setting; nearest: epochs"):
        AutoencoderConfig.of(read_toml(tmp_path / "run.toml"), where="run.toml")
    with pytest.raises(BadQuery, match="nearest: supcon"):
        SimilarityConfig.of({"objective": "supcn"})


@pytest.mark.parametrize(
    "config", [AutoencoderConfig(side=96, gray=True), SimilarityConfig(source="pairs.csv", rate=0.1)]
)
def test_settings_go_out_and_come_back(tmp_path, config):
    (tmp_path / "run.toml").write_text(to_toml(config))
    assert type(config).of(read_toml(tmp_path / "run.toml")) == config


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"epochs": "3"}, {"epochs": 2.5}, {"gray": 1}, {"side": 20}, {"ema": 1.0}, {"device": "gpu"}],
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(BadQuery, match=next(iter(wrong))):
        AutoencoderConfig.of(wrong)


def test_values_typed_by_a_person():
    usual = AutoencoderConfig()
    assert (from_text("gray", "TRUE", usual), from_text("epochs", "3", usual), from_text("rate", "1e-3", usual)) == (
        True,
        3,
        1e-3,
    )
    with pytest.raises(BadQuery, match="expected int"):
        from_text("epochs", "many", usual)


def test_toml_that_is_none(tmp_path):
    (tmp_path / "run.toml").write_text("epochs 3")
    with pytest.raises(BadQuery, match="not TOML"):
        read_toml(tmp_path / "run.toml")
    with pytest.raises(BadQuery, match="cannot be read"):
        read_toml(tmp_path / "none.toml")


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs a system that can keep room for a file")
def test_a_disk_without_space_for_the_cache_is_an_error_before_it_is_filled(tmp_path: Path, photos: Path) -> None:
    """Written through memory, a full disk would end the process with a signal."""
    import resource

    paths = sorted(str(path) for path in photos.iterdir())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(SourceError, match="cannot be written"):
            cache_images(paths, tmp_path / "cache", side=64)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
