"""lookalike/schema.py names everything that a collection holds, and docs/architecture.md lists the same."""

import re
from pathlib import Path

import lance
import pytest

from lookalike import schema
from lookalike.cluster import cluster, make_map, save_clusters, set_labels
from lookalike.cluster.labels import save_propagated, save_suspects
from lookalike.cluster.propagation import Suspect
from lookalike.duplicates import Decisions, KeepChoices, find_duplicates
from lookalike.duplicates.review.saved_groups import save_duplicates
from lookalike.relate.local_search import update_local_features
from lookalike.relate.probability.calibrate_collection import calibrate
from lookalike.search import Collection
from tests.conftest import ColourEmbedder
from tests.duplicates.pictures import save, scene

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection that everything was done to."""
    place = tmp_path_factory.mktemp("schema")
    for n in range(24):
        save(scene(n, size=(160, 120)), place / f"photos/{n:02}.png")
    (place / "photos/bad.png").write_bytes(b"bad")
    uri = place / "c"
    with Collection.open(str(uri), model=ColourEmbedder(), create=True) as photos:
        photos.sync([place / "photos"])
        ids = [str(i) for part in photos.store.scan(["id"]) for i in part["id"]]
        clusters = cluster(photos, levels=(3, 6))
        save_clusters(photos, clusters)
        set_labels(photos, {ids[0]: "sea", ids[1]: "land"})
        save_propagated(photos, dict.fromkeys(ids[2:], ("sea", 0.9)))
        save_suspects(photos, ids, [Suspect(0, "sea", "land", 0.9, (1,), (0.8,))])
        make_map(photos)
        save_duplicates(photos, find_duplicates(photos))
        Decisions(photos).decide(ids[0], ids[1], "not-a-copy")
        KeepChoices(photos).choose(ids[0])
        calibrate(photos, sample=20, edits=1)
        update_local_features(photos)
    return uri


def names(pattern: str) -> re.Pattern[str]:
    """A name with {slot} or {path} as a pattern."""
    return re.compile(re.sub(r"\\\{\w+\\\}", ".*", re.escape(pattern)) + r"\Z")


def test_every_side_table_is_in_the_schema(used: Path) -> None:
    tables = {path.name.removesuffix(".lance"): lance.dataset(str(path)) for path in used.glob("*.lance")}
    images = tables.pop("images")
    assert set(images.schema.names) - {"id", "vector"} <= {*schema.COLUMNS, *schema.PHOTO_COLUMNS}
    seen = set()
    for name, data in tables.items():
        (table,) = [one for one in schema.TABLES if names(one.name).match(name)]
        assert set(data.schema.names) <= {table.key, *table.columns}, name
        seen.add(table.name)
    assert seen == {table.name for table in schema.TABLES}, "a table that nothing writes"


def test_every_setting_is_in_the_schema(used: Path) -> None:
    settings = [name for name, value in lance.dataset(str(used / "images.lance")).metadata.items() if value]
    unknown = [name for name in settings if not any(names(s.name).match(name) for s in schema.SETTINGS)]
    assert not [name for name in unknown if not name.startswith("_")], unknown


def test_the_documentation_lists_the_same() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    for name, column in (*schema.COLUMNS.items(), *schema.PHOTO_COLUMNS.items()):
        assert f"| `{name}` | {column.type.__name__} | {column.meaning} |" in text
    for table in schema.TABLES:
        columns = ", ".join(f"`{column}`" for column in table.columns)
        assert f"| `{table.name}` | `{table.key}` | {columns} | {table.meaning} |" in text
    for setting in schema.SETTINGS:
        assert f"| `{setting.name}` | {setting.meaning} |" in text


def test_no_name_is_written_past_the_schema() -> None:
    written = re.compile(r"\.table\(\s*f?\"|set_settings\(\{\s*f?\"|settings\.get\(\s*\"")
    wrong = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in (ROOT / "src/lookalike").rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if written.search(line)
    ]
    assert not wrong, "\n".join(wrong)
