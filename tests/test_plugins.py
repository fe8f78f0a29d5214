"""Extensions by entry points: found by name, loaded when used, and a broken one named."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lookalike.embed import get_embedder
from lookalike.errors import BadQuery, LookalikeError, UnknownModel
from lookalike.image import get_edit
from lookalike.plugins import load_plugin, plugins
from lookalike.search import Collection


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
