"""One spelling, that of NumPy and scikit-learn (color, gray, license, neighbor, normalize), and one word: image."""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lookalike.deprecation import OLD_KEYS, OLD_SETTINGS, with_new_keys, with_old_keys
from lookalike.embed import card_from_json, card_to_json
from lookalike.image import EDITS, get_edit
from lookalike.relate.probability.calibration_model import calibration_from_json
from lookalike.server.http import schemas
from lookalike.train.config import AutoencoderConfig, from_text
from lookalike.types import Card
from tests.conftest import ColourEmbedder

PROJECT = Path(__file__).parents[1]
BRITISH = re.compile(
    r"\w*(?:colour|grey|licen[c]e|neighbour|labell(?:ed|ing)|centre|normalis|behaviour|catalogue|favour|analys(?:e[^s]|ing)|organis"
    r"|recognis|optimis(?!ti)|minimis|maximis|summaris|serialis|initialis|visualis|artefact|anticlock|judgement)\w*",
    re.IGNORECASE,
)
TEXTS = [
    path
    for folder in ("src", "docs")
    for path in sorted((PROJECT / folder).rglob("*"))
    if path.suffix in {".py", ".js", ".html", ".css", ".md"}
] + [PROJECT / name for name in ("README.md", "pyproject.toml", "CONTRIBUTING.md", "SECURITY.md")]

TEXTS = [path for path in TEXTS if "vendor" not in path.parts]  # the words of others

# Old spellings that are still read or written, deprecated names, and names in files on disk.
ALLOWED = {
    "deprecation.py": {*OLD_KEYS.values(), *OLD_SETTINGS},
    "train.py": {"grey", "colour"},
    "schemas.py": {"licence", "labelled", "neighbours"},
    "examples.py": {"licence", "labelled", "neighbours"},
    "server.md": {"licence", "labelled", "neighbours"},
    "training.md": {"grey", "colour"},
    "models.md": {"licence"},
    "__init__.py": {"colourings", "neighbour_rows"},
    "architecture.md": {"centre"},
    "autoencoder.py": {"centre"},
    "center_pooled.py": {"centre"},
    "checkpoint.py": {"optimiser"},
    "content.py": {"colours", "recoloured"},
    "incremental.py": {"centre"},
    "kmeans.py": {"centres"},
    "levels.py": {"centres"},
    "overlay.py": {"colour"},
    "propagation.py": {"neighbours"},
    "schema.py": {"centre"},
    "storage.py": {"centre"},
    "tuned.py": {"centre"},
    "two_part.py": {"centre"},
    "overlay.js": {"anticlockwise"},  # words of reports by earlier versions
}


def test_one_spelling() -> None:
    wrong = [
        f"{path.relative_to(PROJECT)}:{number}: {word}"
        for path in TEXTS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for word in BRITISH.findall(line)
        if word not in ALLOWED.get(path.name, set())
    ]
    assert not wrong, "\n".join(wrong)


def test_keys_in_both_spellings() -> None:
    both = with_old_keys({"license": "MIT", "labeled": 2, "name": "x"})
    assert both == {"license": "MIT", "labeled": 2, "name": "x", "licence": "MIT", "labelled": 2}
    assert with_old_keys({"licence": "MIT"}) == {"license": "MIT", "licence": "MIT"}  # stored by an earlier version
    assert with_new_keys({"licence": "old", "license": "new"}) == {"license": "new"}


def test_schemas_have_both_spellings() -> None:
    fields = {
        (model, name)
        for model in ("CollectionOut", "LabeledOut", "SuspectOut", "ClusterOut")
        for name in getattr(schemas, model).model_fields
    }
    for model, new in (
        ("CollectionOut", "license"),
        ("LabeledOut", "labeled"),
        ("SuspectOut", "neighbors"),
        ("ClusterOut", "labeled"),
    ):
        assert {(model, new), (model, OLD_KEYS[new])} <= fields
        assert getattr(schemas, model).model_fields[OLD_KEYS[new]].deprecated


def test_a_card_is_written_in_both_spellings_and_read_in_either() -> None:
    card: Card = replace(ColourEmbedder().card, license="MIT")
    written = json.loads(card_to_json(card))
    assert written["license"] == written["licence"] == "MIT"
    for spelling in OLD_KEYS["license"], "license":
        kept = {name: value for name, value in written.items() if name not in ("license", "licence")}
        assert card_from_json(json.dumps(kept | {spelling: "MIT"})) == card


def test_a_calibration_is_written_in_both_spellings_and_read_in_either() -> None:
    tail = {"start": 0.2, "scale": 0.1, "shape": 0.0, "share": 0.02, "normalised": True}
    calibration = calibration_from_json({"format": 1, "tail_normalised": tail}, source="collection")
    assert calibration.tail_normalized is not None
    assert calibration.tail_normalized.normalized
    written = calibration.to_json()
    assert written["tail_normalized"] == written["tail_normalised"] == with_old_keys(tail)
    assert calibration_from_json(written, source="collection") == calibration


def test_an_edit_answers_to_its_old_name() -> None:
    assert get_edit("grey") is EDITS["gray"]


def test_old_training_options_work() -> None:
    assert AutoencoderConfig.of({"grey": True}) == AutoencoderConfig(gray=True)
    assert from_text("grey", "true", AutoencoderConfig()) is True


PICTURE = re.compile(r"(?<![~/\w.])pictures?\b", re.IGNORECASE)
OLD_WORDS = (
    *("gallery pictures", "pictures skipped"),  # old keys
    *("id:Pictures", "Pictures%2F", "Pictures/", "larger picture", "(picture|image)", "(pictures|images)"),
    *(
        'class: "picture"',
        "duplicates pictures",
        "PICTURES",
        "pictures-",
        "`pictures`",
        "`picture`",
        '"picture"',
    ),  # names
)


def interface_texts() -> Iterator[tuple[str, str]]:
    """Texts that people read, each with its place: messages and help, the pages, the documentation."""
    for path in TEXTS:
        place, text = str(path.relative_to(PROJECT)), path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
                    yield f"{place}:{node.lineno}", node.value
        elif path.suffix != ".css":
            yield from ((f"{place}:{number}", line) for number, line in enumerate(text.splitlines(), 1))


def test_images_are_called_images() -> None:
    wrong = []
    for place, text in interface_texts():
        for old in OLD_WORDS:
            text = text.replace(old, "")
        wrong += [f"{place}: {text.strip()[:100]}"] if PICTURE.search(text) else []
    assert not wrong, f"{len(wrong)} texts:\n" + "\n".join(wrong)
