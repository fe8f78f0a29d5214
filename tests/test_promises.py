"""What is written down is true: the exports, the help page, the README's examples."""

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lookalike

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", [*lookalike.__all__, *dir(lookalike)])
def test_every_exported_name_exists(name: str) -> None:
    assert getattr(lookalike, name) is not None


def test_a_notebook_s_names_are_the_objects_of_their_packages() -> None:
    assert lookalike.find_duplicates is lookalike.duplicates.find_duplicates
    assert lookalike.propagate_labels is lookalike.cluster.propagate_labels
    assert lookalike.compare_images is lookalike.relate.compare_images
    assert lookalike.judge_hits is lookalike.relate.judge_hits
    assert lookalike.DuplicateGroup is lookalike.types.DuplicateGroup
    assert lookalike.LookalikeError is lookalike.errors.LookalikeError
    assert {"Relation", "RGB", "ImageLike", "evaluate", "plot"} <= set(lookalike.__all__)
    assert {*lookalike.__all__, "errors", "types"} == set(dir(lookalike))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="serach"):
        _ = lookalike.serach


def test_the_help_page_is_what_help_says() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "write_help.py"))["page"]()
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == made, "write it again: python scripts/write_help.py"


def test_the_table_of_formats_is_what_is_read() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "write_images.py"))["page"]()
    written = (ROOT / "docs" / "images.md").read_text(encoding="utf-8")
    assert written == made, "write it again: python scripts/write_images.py"
    assert "**" not in written.partition("<!-- written by")[2].partition("<!-- end -->")[0], "an error beyond 6 levels"


@pytest.fixture
def pictures(photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home with Pictures, and the files that the README names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("LOOKALIKE_COLLECTION", str(tmp_path / "c"))
    shutil.copytree(photos, tmp_path / "Pictures")
    for name in ("query.jpg", "a.jpg", "b.jpg", "c.jpg", "page.png", "Pictures/sea.jpg"):
        shutil.copy(photos / ("red.png" if name[0] in "qap" else "blue.png"), tmp_path / name)
    return tmp_path


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)


def test_the_notebook_example_runs(pictures: Path) -> None:
    (code,) = blocks("python")
    names: dict[str, object] = {}
    exec(code, names)
    assert len(names["photos"]) == 6  # type: ignore[arg-type]
    assert names["vectors"].shape == (6, 512)  # type: ignore[attr-defined]


def test_the_commands_of_the_first_page_run(pictures: Path) -> None:
    lines = [line.split(" #")[0].strip() for block in blocks("") for line in block.splitlines()]
    commands = [line for line in lines if "lookalike " in line and not line.startswith("pip")]
    assert len(commands) >= 6
    for command in commands:
        shell = command.replace("lookalike ", f"{sys.executable} -m lookalike ")
        ran = subprocess.run(shell, shell=True, cwd=pictures, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{command}\n{ran.stderr}"
