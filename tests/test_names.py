"""Names a stranger can guess: no words with many meanings, MAX and MIN for limits, one meaning for each class name."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src/lookalike"
VAGUE = set("told kept place found wanted asked given seen say tell look made begun left at_hand trouble".split())  # noqa: SIM905
NOT_LIMITS = ("MOST", "LEAST", "FEW", "MANY", "ENOUGH")
DIRECTIONS = {"top", "right", "bottom", "up", "down"}  # beside one of these, `left` is a direction
# Fields of the API's JSON, and old names of attributes that still work.
ALLOWED = {
    ("server/http/schemas.py", "left"),
    ("types.py", "left"),
    ("cluster/propagation.py", "given"),
    ("duplicates/files/apply.py", "left"),
    ("duplicates/files/undo.py", "left"),
    ("evaluate/copy_benchmark.py", "kept"),
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        yield str(path.relative_to(SOURCE)), ast.parse(path.read_text(encoding="utf-8"))


def bindings(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every name that a module gives to something: functions, classes, parameters, variables, fields, aliases."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname, 0
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name, node.lineno


def test_vague_words_are_no_names() -> None:
    wrong = []
    for module, tree in modules():
        names = list(bindings(tree))
        directions = not DIRECTIONS.isdisjoint(name for name, _ in names)
        wrong += [
            f"{module}:{line}: {name}"
            for name, line in names
            if name.strip("_") in VAGUE and (module, name) not in ALLOWED and not (name == "left" and directions)
        ]
    assert not wrong, f"{len(wrong)} names say too little:\n" + "\n".join(wrong)


def test_limits_are_max_and_min() -> None:
    wrong = [
        f"{module}:{line}: {name}"
        for module, tree in modules()
        for name, line in bindings(tree)
        if name.isupper() and any(part in NOT_LIMITS for part in name.strip("_").split("_"))
    ]
    assert not wrong, "\n".join(wrong)


def test_a_class_name_means_one_thing() -> None:
    homes = defaultdict(list)
    for module, tree in modules():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(module)
    twice = {name: where for name, where in homes.items() if len(where) > 1}
    assert not twice, "\n".join(f"{name}: {', '.join(where)}" for name, where in sorted(twice.items()))


def test_files_are_named_so_too() -> None:
    assert not [path for path in SOURCE.rglob("*.py") if path.stem in VAGUE]
