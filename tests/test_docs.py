"""The documentation is true: public names have a page and a docstring, and the examples run."""

import ast
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest

from tests.test_plugins import install

__all__ = ["install"]

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SOURCES = [ast.parse(file.read_text(encoding="utf-8")) for file in (ROOT / "src" / "lookalike").rglob("*.py")]
WITHOUT_ALL = ("errors", "types")
PAGES = sorted(page.stem for page in (DOCS / "api").glob("*.md") if page.stem != "index")


def module_of(page: str) -> str:
    return "lookalike" if page == "lookalike" else f"lookalike.{page}"


def public_names(page: str) -> list[str]:
    module = import_module(module_of(page))
    if page not in WITHOUT_ALL:
        return list(module.__all__)
    tree = ast.parse((ROOT / "src" / "lookalike" / f"{page}.py").read_text(encoding="utf-8"))
    return [name for name in definitions(tree) if not name.startswith("_")]


def definitions(tree: ast.AST) -> dict[str, str | None]:
    """The names that a module or class body defines, with their docstrings."""
    result: dict[str, str | None] = {}
    body: list[ast.stmt] = tree.body  # type: ignore[attr-defined]
    for node, following in pairwise([*body, ast.Pass()]):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            result[node.name] = ast.get_docstring(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            text = following.value if isinstance(following, ast.Expr) else None
            documented = isinstance(text, ast.Constant) and isinstance(text.value, str)
            for target in [node.target] if isinstance(node, ast.AnnAssign) else node.targets:
                if isinstance(target, ast.Name):
                    result[target.id] = str(text.value) if documented else None  # type: ignore[union-attr]
    return result


def docstrings(name: str) -> list[str | None]:
    """The docstrings of everything of that name at the top of a module, or under `if TYPE_CHECKING`."""
    blocks = [block for tree in SOURCES for block in (tree, *(n for n in tree.body if isinstance(n, ast.If)))]
    return [defined[name] for defined in map(definitions, blocks) if name in defined]


def test_every_room_has_a_page_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    index = (DOCS / "api" / "index.md").read_text(encoding="utf-8")
    rooms = [
        "search",
        "store",
        "relate",
        "duplicates",
        "cluster",
        "evaluate",
        "embed",
        "image",
        "train",
        "plot",
        "client",
        "engine",
        "errors",
        "types",
    ]
    assert sorted(["lookalike", *rooms]) == PAGES
    for page in PAGES:
        assert f"api/{page}.md" in navigation
        assert f"({page}.md)" in index
        text = (DOCS / "api" / f"{page}.md").read_text(encoding="utf-8")
        assert re.findall(r"^::: (\S+)$", text, re.M) == [module_of(page)]


@pytest.mark.parametrize("page", PAGES)
def test_every_public_name_has_a_docstring(page: str) -> None:
    module = import_module(module_of(page))
    for name in public_names(page):
        value = getattr(module, name)
        if isinstance(value, type(ast)):
            assert value.__doc__, f"{page}.{name}"
            continue
        ours = str(getattr(value, "__module__", "")).startswith("lookalike")
        home = getattr(value, "__name__", name) if ours else name
        assert any(docstrings(home)), f"{module_of(page)}.{name} has no docstring"


def public_classes() -> Iterator[type]:
    values = {getattr(import_module(module_of(page)), name) for page in PAGES for name in class_names(page)}
    yield from sorted(values, key=str)


def class_names(page: str) -> list[str]:
    module = import_module(module_of(page))
    return [name for name in public_names(page) if isinstance(getattr(module, name), type)]


def test_public_methods_have_docstrings() -> None:
    names = {kind.__name__ for kind in public_classes()}
    classes = [node for tree in SOURCES for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    methods = [
        (node.name, method.name)
        for node in classes
        if node.name in names
        for method in node.body
        if isinstance(method, ast.FunctionDef)
        and not method.name.startswith("_")
        and not ast.get_docstring(method)
        and not any("overload" in ast.unparse(decorator) for decorator in method.decorator_list)
    ]
    assert not methods


def fences(page: Path, language: str) -> list[tuple[str, str]]:
    """(info string, text) of the page's code blocks of a language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```({language}\b[^\n]*)\n(.*?)^```$", text, re.M | re.S)


SECTIONS = re.findall(r"^## (.+?)$", (DOCS / "extending.md").read_text(encoding="utf-8"), re.M)


@pytest.mark.parametrize("section", SECTIONS)
def test_extensions_work_as_written(
    section: str, install: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if section == "An objective":
        pytest.importorskip("torch", reason="needs the extra: pip install 'lookalike[train]'")
    page = tmp_path / "section.md"
    text = (DOCS / "extending.md").read_text(encoding="utf-8")
    page.write_text(text.split(f"## {section}\n")[1].split("\n## ")[0], encoding="utf-8")
    (info, code), (_, usage) = fences(page, "python")
    ((_, table),) = fences(page, "toml")
    ((group, entries),) = tomllib.loads(table)["project"]["entry-points"].items()
    ((name, value),) = entries.items()
    module = re.search(r'title="(\w+)\.py"', info)
    assert module is not None
    assert value.startswith(f"{module[1]}:")
    install(module[1], code, **{group.removeprefix("lookalike."): f"{name} = {value}"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEAM_COLLECTIONS", "overwritten by the example")
    exec(compile(usage, f"{section} of docs/extending.md", "exec"), {})


def test_every_kind_of_extension_is_documented() -> None:
    from lookalike.plugins import GROUPS

    text = (DOCS / "extending.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r'entry-points\."lookalike\.(\w+)"', text)) == sorted(GROUPS)


def test_the_page_on_arrays_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = fences(DOCS / "how-to" / "search-with-arrays.md", "python")
    assert len(blocks) == 5
    names: dict[str, object] = {}
    for _, code in blocks:
        exec(code, names)


def without_numbers(text: str) -> list[str]:
    """Lines with every number as #: scores and sizes differ a little between machines."""
    return [re.sub(r"\d[\d.,]*", "#", line.rstrip()) for line in text.splitlines()]


def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("skimage", reason="needs the extra: pip install 'lookalike[demo]'")
    home = tmp_path / "first"
    home.mkdir()
    printed = ""
    shown = 0
    for language, text in fences(DOCS / "tutorial.md", "(?:sh|text|python)"):
        if language == "sh":
            printed = "".join(run(line, home) for line in text.splitlines())
        elif language == "text":
            shown += 1
            actual = without_numbers(printed.replace(str(home), "/home/you/first"))
            assert set(without_numbers(text)) <= set(actual), printed
        else:
            monkeypatch.chdir(home)
            exec(text, {})
    assert shown == 3
    assert len(list((home / "demo" / "edited").glob("*.jpg"))) == 18, "undo put them back"


def run(command: str, folder: Path) -> str:
    assert command.startswith("lookalike ")
    shell = command.replace("lookalike ", f"{sys.executable} -m lookalike ", 1)
    ran = subprocess.run(shell, shell=True, cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{command}\n{ran.stderr}"
    return ran.stdout


def commands() -> list[tuple[str, str]]:
    """Every command in a code block of the tutorial and the how-to pages."""
    pages = [DOCS / "tutorial.md", *sorted((DOCS / "how-to").glob("*.md"))]
    text = {
        page.name: re.findall(r"^ *```(?:sh)?\n(.*?)^ *```$", page.read_text("utf-8"), re.M | re.S) for page in pages
    }
    lines = [(name, line.strip()) for name, blocks in text.items() for block in blocks for line in block.splitlines()]
    return [(name, line[line.index("lookalike ") :]) for name, line in lines if re.search(r"(^|\| )lookalike ", line)]


def test_commands_of_the_pages_have_verbs_and_options_that_exist() -> None:
    help_of = lru_cache(runpy.run_path(str(ROOT / "scripts" / "write_help.py"))["help_of"])
    found = commands()
    assert len(found) > 25
    for page, command in found:
        words = command.split()[1:]
        text = help_of(" ".join(words[: 2 if words[0] == "train" or words[:2] == ["models", "add"] else 1]))
        assert text.startswith(f"Usage: lookalike {words[0]}"), f"{page}: {command}"
        for option in re.findall(r"(?<= )(-\w|--[\w-]+)(?= |$)", command):
            assert re.search(rf"(^|[ ,]){option}\b", text, re.M), f"{page}: {command}: {option}"
