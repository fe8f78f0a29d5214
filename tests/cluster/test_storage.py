"""Clusters saved in a collection: loaded, joined by new images, checked for drift, named, exported."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lookalike.cluster import (
    LabelCounts,
    NoClusters,
    NoLabels,
    ParsedLabels,
    Suspect,
    cluster,
    confirm_labels,
    count_labels,
    current_run,
    drift,
    join_new,
    known_labels,
    label_cluster,
    label_collection,
    label_table,
    load_clusters,
    name_clusters,
    propagate,
    read_labels,
    save_clusters,
    save_labels,
    save_propagation,
    save_suspects,
    saved_suspects,
    set_labels,
    write_clusters,
    write_columns,
    write_tree,
)
from lookalike.cluster.labels import folder_labels, save_propagated
from lookalike.errors import BadQuery, LookalikeError, SourceError
from lookalike.search import Collection
from lookalike.similarity import normalize

COLORS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}


def add(photos: Collection, color: str, numbers: Sequence[int], *, indexed: str = "2020-01-01T00:00:00+00:00") -> None:
    noise = np.random.default_rng(numbers[0]).normal(0, 0.05, (len(numbers), 3))
    ids = [f"{color}/{n:02d}.png" for n in numbers]
    rows = [{"path": f"/shop/{name}", "plain": False, "indexed": indexed} for name in ids]
    photos.store.add(ids, normalize(np.array(COLORS[color]) + noise), rows)


@pytest.fixture
def shop(collection: Collection) -> Collection:
    """Thirty images of three colors."""
    for color, count in (("red", 14), ("green", 10), ("blue", 6)):
        add(collection, color, range(count))
    return collection


@pytest.fixture
def clustered(shop: Collection) -> Collection:
    save_clusters(shop, cluster(shop, (2, 3)))
    return shop


def test_clusters_are_described(shop: Collection) -> None:
    result = cluster(shop, (2, 3), labels={"red/00.png": "tomato", "red/01.png": "tomato", "red/02.png": "apple"})
    assert result.counts == (2, 3)
    fine = sorted(result.clusters[1], key=lambda c: -c.size)
    assert [c.size for c in fine] == [14, 10, 6]
    assert [c.name for c in fine] == ["tomato", "", ""]
    for c in fine:
        assert len({name.split("/")[0] for name in c.medoids}) == 1
        assert c.tightness > 0.98
        members = result.levels[1].assignments == c.number
        assert set(result.levels[0].assignments[members]) == {c.parent}


def test_the_first_medoid_is_the_most_central(shop: Collection) -> None:
    result = cluster(shop, (3,))
    for c in result.clusters[0]:
        members = np.flatnonzero(result.levels[0].assignments == c.number)
        assert result.ids[members[result.scores[members].argmax()]] == c.medoids[0]


def test_saved_clusters_load_unchanged(shop: Collection) -> None:
    result = cluster(shop, (2, 3))
    save_clusters(shop, result)
    saved = load_clusters(shop)
    assert (saved.ids, saved.counts, saved.method) == (result.ids, (2, 3), "kmeans")
    for a, b in zip(saved.levels, result.levels, strict=True):
        assert np.array_equal(a.assignments, b.assignments)
        assert np.array_equal(a.centers, b.centers)
    assert np.allclose(saved.scores, result.scores)
    assert saved.clusters == result.clusters


def test_the_newest_clusters_count_and_leave_nothing_of_the_old(clustered: Collection) -> None:
    clustered.remove(["red/00.png"])
    for levels in ((4,), (2,), (3,)):
        save_clusters(clustered, cluster(clustered, levels))
        assert load_clusters(clustered).counts == levels
        assert [c.level for c in load_clusters(clustered).clusters[0]] == list(levels) * levels[0]
    assert len(load_clusters(clustered).ids) == 29


def test_a_clustering_that_was_cut_short_changes_nothing(
    clustered: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load_clusters(clustered)

    def fail(changes: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(clustered.store, "set_settings", fail)
    with pytest.raises(KeyboardInterrupt):
        save_clusters(clustered, cluster(clustered, (5,)))
    monkeypatch.undo()
    assert load_clusters(clustered).counts == before.counts
    assert np.array_equal(load_clusters(clustered).levels[1].assignments, before.levels[1].assignments)


def test_new_images_join_the_nearest(clustered: Collection) -> None:
    assert join_new(clustered) == 0
    add(clustered, "blue", range(50, 60), indexed="2100-01-01T00:00:00+00:00")
    assert join_new(clustered) == 10
    saved = load_clusters(clustered)
    by_id = dict(zip(saved.ids, saved.levels[1].assignments.tolist(), strict=True))
    assert {by_id[f"blue/{n}.png"] for n in range(50, 60)} == {by_id["blue/00.png"]}
    assert saved.joined.sum() == 10


def test_a_image_of_the_very_second_joins_once_and_those_clustered_do_not(shop: Collection) -> None:
    result = cluster(shop, (3,))
    add(shop, "red", [90], indexed=result.at)
    shop.store.update(["red/00.png"], [{"indexed": result.at}])
    save_clusters(shop, result)
    assert join_new(shop) == 1
    assert load_clusters(shop).joined.sum() == 1


def test_drift_is_low_for_more_of_the_same_and_high_for_something_new(clustered: Collection) -> None:
    calm = drift(clustered)
    assert (calm.clustered, calm.joined, calm.gone, calm.far, calm.again) == (30, 0, 0, 0.0, False)
    vectors = normalize(np.repeat([[1, 1, 1.0]], 60, 0) + np.random.default_rng(0).normal(0, 0.05, (60, 3)))
    rows = [{"path": f"/shop/grey/{n}", "indexed": "2100-01-01T00:00:00+00:00"} for n in range(60)]
    clustered.store.add([f"grey/{n}" for n in range(60)], vectors, rows)
    join_new(clustered)
    changed = drift(clustered)
    assert changed.far > 0.9
    assert changed.again
    assert "cluster again" in str(changed)


def test_removed_images_are_counted(clustered: Collection) -> None:
    clustered.remove([f"red/{n:02d}.png" for n in range(5)])
    assert drift(clustered).gone == 5
    assert len(load_clusters(clustered).ids) == 25


def test_without_clusters_nothing_joins_and_loading_says_how(shop: Collection) -> None:
    assert join_new(shop) == 0
    assert current_run(shop) is None
    with pytest.raises(NoClusters, match="save_clusters") as caught:
        load_clusters(shop)
    assert caught.value.command == f"cluster -c {shop.uri}"


def test_more_clusters_than_pictures(shop: Collection) -> None:
    with pytest.raises(BadQuery, match=r"levels 8, 64 of 30 images"):
        cluster(shop, (8, 64))


def test_an_empty_collection_and_one_picture(collection: Collection) -> None:
    with pytest.raises(BadQuery, match="is empty"):
        cluster(collection)
    add(collection, "red", [0])
    assert cluster(collection).counts == (1,)


def test_all_images_the_same(collection: Collection) -> None:
    rows = [{"path": f"/{n}", "indexed": "2020-01-01T00:00:00+00:00"} for n in range(50)]
    collection.store.add([str(n) for n in range(50)], np.repeat(normalize(np.ones((1, 3))), 50, 0), rows)
    result = cluster(collection, (2, 5))
    assert result.counts == (1,)
    assert result.clusters[0][0].size == 50
    assert len(result.clusters[0][0].medoids) == 1


def test_density_leaves_strangers_out(collection: Collection) -> None:
    pytest.importorskip("sklearn")
    for color in ("red", "green"):
        add(collection, color, range(40))
    rows = [{"path": "/far", "indexed": "2020-01-01T00:00:00+00:00"}]
    collection.store.add(["far"], normalize(-np.ones((1, 3))), rows)
    result = cluster(collection, method="density")
    assert len(result.clusters[0]) == 2
    for c in result.clusters[0]:
        assert c.size > 30
        members = np.flatnonzero(result.levels[0].assignments == c.number)
        assert len({result.ids[row].split("/")[0] for row in members}) == 1
    assert result.levels[0].assignments[result.ids.index("far")] == -1
    save_clusters(collection, result)
    saved = load_clusters(collection)
    assert np.array_equal(saved.levels[0].assignments, result.levels[0].assignments)


def test_the_table_has_a_row_a_picture(clustered: Collection, tmp_path: Path) -> None:
    saved = load_clusters(clustered)
    with write_clusters(saved, tmp_path / "new" / "clusters.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == saved.ids
    assert list(rows[0]) == ["id", "level_2", "level_3", "score", "name"]
    assert [int(row["level_3"]) for row in rows] == saved.levels[1].assignments.tolist()
    import pyarrow.parquet as pq

    assert pq.read_table(write_clusters(saved, tmp_path / "c.parquet")).num_rows == 30


def test_the_tree_has_a_folder_a_cluster(collection: Collection, tmp_path: Path) -> None:
    for color, value in COLORS.items():
        for n in range(3):
            file = tmp_path / color / f"{n}.png"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(f"{color} {n}".encode())
            vector = normalize(np.array([value], float) + 0.01 * n)
            rows = [{"path": str(file), "indexed": "2020-01-01T00:00:00+00:00"}]
            collection.store.add([f"{color}/{n}"], vector, rows)
    (tmp_path / "blue" / "2.png").unlink()
    result = cluster(collection, (3,), labels={"red/0": "a/b"})
    assert write_tree(collection, result, tmp_path / "tree") == (8, 1)
    folders = sorted(p for p in (tmp_path / "tree").iterdir())
    assert sum(p.name.endswith("a_b") for p in folders) == 1
    for folder in folders:
        links = list(folder.iterdir())
        assert len({link.resolve().parent.name for link in links}) == 1
        assert all(link.is_symlink() for link in links)
    assert write_tree(collection, result, tmp_path / "tree") == (8, 1)  # links alone are ours to replace
    (folders[0] / "mine.txt").write_text("mine")
    with pytest.raises(LookalikeError, match="not empty"):
        write_tree(collection, result, tmp_path / "tree")
    write_tree(collection, result, tmp_path / "copies", copies=True)
    assert not any(p.is_symlink() for p in (tmp_path / "copies").rglob("*"))


def labels_file(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text)
    return path


def test_labels_by_id_path_and_end_of_path(shop: Collection, tmp_path: Path) -> None:
    parsed = read_labels(shop, labels_file(tmp_path, "id,label\nred/00.png,tomato\nnobody,x\n"))
    assert (parsed.labels, parsed.unknown) == ({"red/00.png": "tomato"}, ["nobody"])
    parsed = read_labels(shop, labels_file(tmp_path, "label,path\npea,/shop/green/01.png\npea,green/02.png\n"))
    assert parsed.labels == {"green/01.png": "pea", "green/02.png": "pea"}
    assert read_labels(shop, labels_file(tmp_path, "path,label\n03.png,x\n/shop/red/03.png,y\n")).unknown == ["03.png"]


def test_labels_as_spreadsheets_and_programs_write_them(shop: Collection, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    expected = {"red/00.png": "tomato"}
    assert read_labels(shop, labels_file(tmp_path, "\ufeffid;label\nred/00.png;tomato\n")).labels == expected
    pq.write_table(pa.table({"id": ["red/00.png"], "label": ["tomato"]}), tmp_path / "labels.parquet")
    assert read_labels(shop, tmp_path / "labels.parquet").labels == expected
    assert read_labels(shop, labels_file(tmp_path, "id,path,label\n,red/00.png,tomato\n")).labels == expected
    (tmp_path / "latin.csv").write_bytes("id,label\nred/00.png,caf\u00e9\n".encode("latin-1"))
    with pytest.raises(SourceError, match="not UTF-8"):
        read_labels(shop, tmp_path / "latin.csv")


def test_labels_that_nobody_has_are_one_sentence(shop: Collection, tmp_path: Path) -> None:
    with pytest.raises(BadQuery, match="names no image"):
        read_labels(shop, labels_file(tmp_path, "id,label\nnobody,x\n"))
    with pytest.raises(SourceError, match="needs the columns label and one of id, path, cluster"):
        read_labels(shop, labels_file(tmp_path, "name,tag\nred/00.png,x\n"))
    with pytest.raises(SourceError, match="cannot be read"):
        read_labels(shop, tmp_path / "missing.csv")


@pytest.mark.parametrize(
    ("names", "listed"),
    [(["nobody"], "(nobody)"), (["a", "b", "c"], "(a, b, c)"), (["a", "b", "c", "d"], "(a, b, c, ...)")],
)
def test_examples_end_in_dots_only_if_there_are_more(
    shop: Collection, tmp_path: Path, names: list[str], listed: str
) -> None:
    file = labels_file(tmp_path, "\n".join(["id,label", *(f"{name},x" for name in names)]))
    with pytest.raises(BadQuery, match=re.escape(f"the collection {listed}; use ids")):
        read_labels(shop, file)


def test_a_file_without_labels_has_no_examples(shop: Collection, tmp_path: Path) -> None:
    with pytest.raises(BadQuery, match="the collection; use ids"):
        read_labels(shop, labels_file(tmp_path, "id,label\nred/00.png,\n"))


def test_propagated_labels_of_removed_images_are_removed(shop: Collection) -> None:
    label_table(shop).put([{"id": "gone.png", "label": "pea", "given": True, "confidence": 1.0}])
    save_propagated(shop, {"red/00.png": ("tomato", 0.95), "red/01.png": ("tomato", 0.9), "red/02.png": ("", 0.4)})
    shop.store.delete(["red/00.png"])
    save_propagated(shop, {"red/01.png": ("apple", 0.95), "never.png": ("pea", 0.95)})
    rows = {str(row["id"]): row["label"] for row in label_table(shop).all()}
    assert rows == {"gone.png": "pea", "red/01.png": "apple", "red/02.png": ""}  # what a person decided stays


def test_a_cluster_is_named_once(clustered: Collection, tmp_path: Path) -> None:
    red = next(c for c in load_clusters(clustered).clusters[1] if c.size == 14)
    parsed = read_labels(clustered, labels_file(tmp_path, f"cluster,label\n{red.key},tomatoes\n"))
    save_labels(clustered, parsed)
    assert next(c for c in load_clusters(clustered).clusters[1] if c.size == 14).name == "tomatoes"
    assert known_labels(clustered) == dict.fromkeys(red.medoids, "tomatoes")
    with pytest.raises(BadQuery, match="no cluster '9/9'"):
        name_clusters(clustered, {"9/9": "x"})


def test_given_labels_stand_above_spread_ones(shop: Collection) -> None:
    assert folder_labels(shop)["blue/00.png"] == "blue"
    save_labels(shop, ParsedLabels(labels={"red/00.png": "tomato"}))
    save_propagated(shop, {"red/00.png": ("pea", 0.99), "red/01.png": ("tomato", 0.95), "blue/00.png": ("", 0.4)})
    assert known_labels(shop) == {"red/00.png": "tomato"}
    assert known_labels(shop, spread=True) == {"red/00.png": "tomato", "red/01.png": "tomato"}
    shop.store.update(["green/00.png"], [{"label": "pea"}])
    assert known_labels(shop)["green/00.png"] == "pea"


# --- labels of a whole collection


def test_a_collection_without_labels_says_how_to_get_some(shop: Collection) -> None:
    for function in (count_labels, propagate):
        with pytest.raises(NoLabels, match="it has no label yet; label some images with set_labels"):
            function(shop)


def test_a_collection_is_labeled_by_folders_and_a_file(shop: Collection, tmp_path: Path) -> None:
    assert label_collection(shop, folders=True) == ParsedLabels()
    assert count_labels(shop) == LabelCounts(images=30, labeled=30, labels=3)
    parsed = label_collection(shop, labels_file(tmp_path, "id,label\nred/00.png,tomato\nnobody,x\n"), folders=True)
    assert (parsed.labels, parsed.unknown) == ({"red/00.png": "tomato"}, ["nobody"])
    assert count_labels(shop) == LabelCounts(images=30, labeled=30, labels=4)  # the file's label counts


def test_labels_given_before_stay_unless_they_are_overwritten(clustered: Collection, tmp_path: Path) -> None:
    names = folder_labels(clustered)
    first, second, third, *_ = sorted(names)
    own = {first: "mine", second: names[second], third: "mine too"}
    set_labels(clustered, own)
    parsed = label_collection(clustered, labels_file(tmp_path, f"id,label\n{third},other\n"), folders=True)
    assert (parsed.retained, parsed.replaced) == ([first], [third])
    assert known_labels(clustered) == names | own | {third: "other"}
    clusters = load_clusters(clustered)
    described = next(c for c in clusters.clusters[-1] if c.medoids)
    by_cluster = labels_file(tmp_path, f"cluster,label\n{described.key},boots\n")
    parsed = label_collection(clustered, by_cluster)
    assert (sorted(parsed.retained), parsed.replaced) == (sorted(described.medoids), [])
    parsed = label_collection(clustered, by_cluster, overwrite=True)
    assert (parsed.retained, sorted(parsed.replaced)) == ([], sorted(described.medoids))
    parsed = label_collection(clustered, folders=True, overwrite=True)
    assert known_labels(clustered) == names
    assert set(parsed.replaced) == {first, third, *described.medoids}


def test_nothing_is_labeled_by_folders_if_the_file_is_refused(shop: Collection, tmp_path: Path) -> None:
    with pytest.raises(BadQuery, match="names no image"):
        label_collection(shop, labels_file(tmp_path, "id,label\nnobody,x\n"), folders=True)
    assert known_labels(shop) == {}


def test_labels_are_propagated_saved_and_counted(shop: Collection) -> None:
    known = {f"{color}/{n:02d}.png": color for color in ("red", "green") for n in range(5)}
    known["red/05.png"] = "green"
    set_labels(shop, known)
    propagation = propagate(shop, min_confidence=0.5)
    assert len(propagation.labeled) == 11
    assert (propagation.named, propagation.unsure) == (13, 6)  # blue is far from every labeled image
    assert known_labels(shop, spread=True) == known  # nothing is saved yet
    save_propagation(shop, propagation)
    expected = {name: name.split("/")[0] for name in propagation.ids if not name.startswith("blue")}
    assert known_labels(shop, spread=True) == expected | {"red/05.png": "green"}
    assert [suspect["id"] for suspect in saved_suspects(shop)["suspects"]] == ["red/05.png"]
    rows = dict(zip(propagation.columns()["id"], propagation.columns()["label"], strict=True))
    assert (rows["blue/00.png"], rows["red/09.png"]) == ("unsure", "red")


def test_what_is_unsure_in_a_table_of_ours_is_no_label(shop: Collection, tmp_path: Path) -> None:
    set_labels(shop, {f"{color}/{n:02d}.png": color for color in ("red", "green") for n in range(5)})
    propagation = propagate(shop, min_confidence=0.5)
    table = write_columns(propagation.columns(), tmp_path / "labels.csv")
    parsed = read_labels(shop, table)
    assert set(parsed.labels.values()) == {"red", "green"}
    assert parsed.undecided == propagation.unsure > 0
    # A person may call a label so.
    (tmp_path / "own.csv").write_text("id,label\nred/00.png,unsure\n")
    assert read_labels(shop, tmp_path / "own.csv").labels == {"red/00.png": "unsure"}


def test_a_high_minimum_confidence_leaves_more_unsure(shop: Collection) -> None:
    set_labels(shop, {f"{color}/{n:02d}.png": color for color in ("red", "green") for n in range(5)})
    assert propagate(shop, min_confidence=1.01).named == 0


def test_a_confirmed_label_is_no_suspect(shop: Collection) -> None:
    assert saved_suspects(shop) == {"when": None, "suspects": []}
    suspects = [Suspect(row, "green", "red", 0.9, (2,), (0.8,)) for row in (0, 1)]
    save_suspects(shop, ["red/00.png", "red/01.png", "red/02.png"], suspects)
    confirm_labels(shop, ["red/01.png", "red/02.png"])
    saved = saved_suspects(shop)
    assert [suspect["id"] for suspect in saved["suspects"]] == ["red/00.png"]
    assert saved["when"] is not None


def test_a_cluster_is_named_and_its_unlabeled_typical_images_labeled(clustered: Collection) -> None:
    red = next(c for c in load_clusters(clustered).clusters[1] if c.size == 14)
    set_labels(clustered, {red.medoids[0]: "tomato"})
    clustered.store.delete([red.medoids[1]])
    labeled = label_cluster(clustered, red.key, "fruit")
    assert sorted(labeled) == sorted(red.medoids[2:])
    assert known_labels(clustered) == {red.medoids[0]: "tomato"} | dict.fromkeys(labeled, "fruit")
    assert next(c for c in load_clusters(clustered).clusters[1] if c.key == red.key).name == "fruit"
    with pytest.raises(BadQuery, match="no cluster '9/9'"):
        label_cluster(clustered, "9/9", "fruit")
