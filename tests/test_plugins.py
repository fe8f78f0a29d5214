"""Extensions by entry points: found by name, loaded when used, and a broken one named."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike.embed import get_embedder
from lookalike.errors import BadQuery, CollectionError, LookalikeError, NoCollection, UnknownModel
from lookalike.evaluate import EvaluationSettings, Metric, evaluate, read_truth, retrieval
from lookalike.image import get_edit
from lookalike.plugins import load_plugin, plugins
from lookalike.search import Collection
from lookalike.store import open_store
from tests.conftest import ColourEmbedder


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a package with a module and entry points on the path."""

    def put(name: str, code: str, **groups: str) -> None:
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"[lookalike.{group}]\n{entry}\n" for group, entry in groups.items()]
        (info / "entry_points.txt").write_text("\n".join(lines))
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.delitem(sys.modules, name, raising=False)

    monkeypatch.syspath_prepend(str(tmp_path))
    return put


def test_an_extension_is_found_and_loaded_when_used(install: Callable[..., None]) -> None:
    install("one_extension", "answer = 42", edits="sepia = one_extension:answer")
    assert list(plugins("edits")) == ["sepia"]
    assert "one_extension" not in sys.modules
    assert load_plugin("edits", "sepia") == 42
    assert load_plugin("edits", "unknown") is None
    assert load_plugin("metrics", "sepia") is None


def test_one_that_cannot_be_loaded_is_named(install: Callable[..., None]) -> None:
    install("broken_extension", "raise RuntimeError('no luck')", edits="sepia = broken_extension:answer")
    with pytest.raises(LookalikeError, match=r"'sepia' of lookalike.edits \(broken_extension:answer\).*no luck"):
        load_plugin("edits", "sepia")


def test_two_of_one_name_are_refused(install: Callable[..., None]) -> None:
    install("first_extension", "answer = 1", edits="sepia = first_extension:answer")
    install("second_extension", "answer = 2", edits="sepia = second_extension:answer")
    with pytest.raises(LookalikeError, match="two packages register 'sepia'"):
        plugins("edits")


def test_an_edit_of_another_package_is_an_edit(install: Callable[..., None]) -> None:
    code = "import numpy as np\ndef negative(image, strength, random):\n    return 255 - image\n"
    install("edit_extension", code, edits="negative = edit_extension:negative")
    image = np.full((4, 5, 3), 55, np.uint8)
    assert get_edit("negative").apply(image, 0.5, 1).max() == 200
    with pytest.raises(BadQuery, match="negative"):
        get_edit("negativ")


def test_an_embedder_of_another_package_is_opened_by_name(install: Callable[..., None], tmp_path: Path) -> None:
    code = "from tests.conftest import ColourEmbedder\ndef make():\n    return ColourEmbedder('mine')\n"
    install("embedder_extension", code, embedders="mine = embedder_extension:make")
    assert get_embedder("mine").card.name == "mine"
    with pytest.raises(UnknownModel, match="mine"):
        get_embedder("mines")
    with Collection.open(str(tmp_path / "c"), model="mine", create=True) as photos:
        photos.add([np.full((40, 40, 3), 90, np.uint8)], ids=["a"])
    with Collection.open(str(tmp_path / "c")) as photos:  # by the name that it was created with
        assert photos.embedder.card.name == "mine"


STORE = """
from lookalike.errors import NoCollection
from lookalike.store import open_store

STORES = {}

def open_shared(uri, *, dim, columns, create, read_only):
    if uri not in STORES:
        if not create:
            raise NoCollection(f"there is no collection at {uri}")
        STORES[uri] = open_store("memory:", dim=dim, columns=columns)
    return STORES[uri]

def open_number(uri, **_):
    return 42
"""


def test_a_store_of_another_package_is_opened_by_its_scheme(install: Callable[..., None]) -> None:
    install("store_extension", STORE, stores="shared = store_extension:open_shared")
    with pytest.raises(NoCollection, match="shared://photos"):
        open_store("shared://photos")
    with Collection.open("shared://photos", model=ColourEmbedder(), create=True) as photos:
        photos.add([np.full((40, 40, 3), 90, np.uint8)], ids=["a"])
    assert open_store("shared://photos", dim=3).get(["a"]) != [None]
    with Collection.open("shared://photos", model=ColourEmbedder()) as photos:
        assert [hit.id for hit in photos.search(np.full((40, 40, 3), 91, np.uint8), k=1).hits] == ["a"]
    with pytest.raises(CollectionError, match="3 numbers, not 7"):
        open_store("shared://photos", dim=7)
    with pytest.raises(CollectionError, match="storage_options"):
        open_store("shared://photos", storage_options={"region": "here"})


def test_what_is_no_store_is_refused(install: Callable[..., None]) -> None:
    install("number_extension", STORE, stores="number = number_extension:open_number")
    with pytest.raises(CollectionError, match=r"number://x: its extension returned int, which is no store.*search"):
        open_store("number://x")


def test_a_scheme_of_an_object_store_is_not_taken(install: Callable[..., None]) -> None:
    install("s3_extension", STORE, stores="file = s3_extension:open_number")
    with pytest.raises(LookalikeError, match="file:///nowhere: there is no collection"):
        open_store("file:///nowhere")
    assert "s3_extension" not in sys.modules


OBJECTIVE = """
from torch import nn

class Pull(nn.Module):
    def forward(self, vectors, labels):
        same = labels[:, None] == labels[None]
        return 1 - nn.functional.cosine_similarity(vectors[:, None], vectors[None], dim=2)[same].mean()

def make(dim, classes):
    return Pull()

def make_number(dim, classes):
    return 42
"""


def test_an_objective_of_another_package_is_one_of_similarity(install: Callable[..., None]) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra: pip install 'lookalike[train]'")
    from lookalike.train.config import AutoencoderConfig, SimilarityConfig
    from lookalike.train.objectives import make_objective, similarity_objectives

    install("objective_extension", OBJECTIVE, objectives="pull = objective_extension:make")
    assert similarity_objectives()[-1] == "pull"
    assert SimilarityConfig.of({"objective": "pull"}).objective == "pull"
    labels = torch.tensor([0, 0, 1, 1])
    good = torch.eye(4)[[0, 0, 1, 1]]
    objective = make_objective("pull", dim=4, classes=2)
    assert objective(good, labels).item() == pytest.approx(0)
    assert objective(good[[0, 2, 1, 3]], labels).item() == pytest.approx(0.5)
    with pytest.raises(BadQuery, match="pull"):
        make_objective("pul")
    with pytest.raises(BadQuery, match="objective 'pull' is not known"):
        AutoencoderConfig.of({"objective": "pull"})


def test_an_objective_that_is_no_torch_module_is_named(install: Callable[..., None]) -> None:
    pytest.importorskip("torch", reason="needs the extra: pip install 'lookalike[train]'")
    from lookalike.train.objectives import make_objective

    install("number_objective", OBJECTIVE, objectives="number = number_objective:make_number")
    with pytest.raises(LookalikeError, match=r"'number' of lookalike.objectives made int, not a torch.nn.Module"):
        make_objective("number", dim=4, classes=2)


METRIC = """
def first_two(ranked):
    return float(ranked[:2].mean())
"""


@pytest.fixture
def rankings() -> dict[str, Any]:
    """Three queries: right answers at ranks 1 and 2, at ranks 1 and 3, and none at all."""
    axis = np.eye(3, dtype=np.float32)
    gallery = np.stack([axis[0], (axis[0] * 4 + axis[1] * 3) / 5, axis[1]])
    return {
        "queries": axis[[0, 1, 2]],
        "gallery": gallery,
        "query_labels": ["a", "b", "c"],
        "gallery_labels": ["a", "a", "b"],
    }


def test_a_metric_is_averaged_over_queries_with_an_answer(rankings: dict[str, Any]) -> None:
    metric = Metric("share", lambda ranked: float(ranked[:2].mean()))
    result = retrieval(**rankings, metrics=[metric])
    # "a": right at ranks 1 and 2; "b": right at rank 1; "c": no right answer.
    np.testing.assert_array_equal(result.per_query.values["share"], [1, 0.5, np.nan])
    assert result["share"] == 0.75


def test_a_metric_does_not_see_a_query_among_its_own_answers(rankings: dict[str, Any]) -> None:
    rankings["query_labels"], ids = ["a", "b", "a"], (["x", "y", "z"], ["x", "u", "v"])
    result = retrieval(**rankings, metrics=[Metric("length", len)], same=ids)
    assert list(result.per_query.values["length"]) == [2, 3, 3]


def test_metrics_that_fail_are_named(rankings: dict[str, Any]) -> None:
    with pytest.raises(LookalikeError, match=r"metric 'odd' gave nan"):
        retrieval(**rankings, metrics=[Metric("odd", lambda _: float("nan"))])
    with pytest.raises(LookalikeError, match=r"metric 'odd' failed: ZeroDivisionError"):
        retrieval(**rankings, metrics=[Metric("odd", lambda _: 1 / 0)])


@pytest.mark.parametrize("name", ["mAP", "recall@1", "micro-AP"])
def test_a_metric_does_not_take_the_name_of_another(rankings: dict[str, Any], name: str) -> None:
    with pytest.raises(BadQuery, match=f"two figures are called '{name}'"):
        retrieval(**rankings, metrics=[Metric(name, len)])


def test_a_metric_cannot_change_the_ranking(rankings: dict[str, Any]) -> None:
    def overwrite(ranked: Any) -> float:
        ranked[:] = False
        return 0.0

    plain, result = retrieval(**rankings), retrieval(**rankings, metrics=[Metric("odd", overwrite)])
    assert result.figures == {"odd": 0.0, **plain.figures}


def test_a_metric_of_another_package_is_in_the_report(install: Callable[..., None], photos: Path) -> None:
    install("metric_extension", METRIC, metrics="share@2 = metric_extension:first_two")
    for name, of in (("red.png", "warm"), ("orange.png", "warm"), ("green.png", "cold"), ("blue.png", "cold")):
        (photos / of).mkdir(exist_ok=True)
        (photos / name).rename(photos / of / name)
    (photos / "violet.png").unlink()
    settings = EvaluationSettings(times=20, ks=(1, 2))
    report = evaluate(ColourEmbedder(), read_truth(photos), settings=settings, against=ColourEmbedder("other"))
    # Each query has one right answer of three, so the share among the first two is half of recall@2.
    assert 0 < report.one.figures["share@2"] == report.one.figures["recall@2"] / 2
    low, high = report.one.intervals["share@2"]
    assert low <= report.one.figures["share@2"] <= high
    assert report.differences["share@2"].difference == 0
    assert "share@2" in [row[0] for row in report.table()]
