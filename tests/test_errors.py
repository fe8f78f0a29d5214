"""Errors carry facts; their sentences are composed for Python, for the command line and for a server's answer."""

import ast
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lookalike
from lookalike.cluster import load_clusters, read_vectors
from lookalike.duplicates import Decisions
from lookalike.errors import LookalikeError, NoCollection, StoreFailed
from lookalike.relate.probability.calibrate_collection import calibrate
from lookalike.relate.probability.calibration_store import calibration_of
from lookalike.schema import CALIBRATION, CARD, FORMAT
from lookalike.search import Collection
from lookalike.store import open_store
from lookalike.store.lance.engine import translated
from lookalike.text import expanded
from tests.conftest import ColourEmbedder


def test_a_sentence_is_composed_of_the_facts() -> None:
    error = NoCollection(
        "there is no collection",
        subject="/home/me/photos.c",
        hint="create one with Collection.open(..., create=True)",
        command="index FOLDER -c /home/me/photos.c",
        location="/home/me/photos.c",
    )
    assert str(error) == (
        "/home/me/photos.c: there is no collection; create one with Collection.open(..., create=True)"
    )
    assert error.for_command_line() == (
        "/home/me/photos.c: there is no collection; run: lookalike index FOLDER -c /home/me/photos.c"
    )
    assert error.without_location() == (
        "the collection: there is no collection; create one with Collection.open(..., create=True)"
    )


def test_a_reason_alone_is_the_sentence() -> None:
    error = LookalikeError("k is 0; ask for at least one image")
    assert str(error) == error.for_command_line() == error.without_location() == "k is 0; ask for at least one image"
    assert str(LookalikeError()) == ""


@pytest.mark.parametrize("kind", [LookalikeError, NoCollection, StoreFailed])
def test_errors_travel_between_processes(kind: type[LookalikeError]) -> None:
    error = kind("it failed", subject="a.jpg", hint="try again", command="index", location="/a.jpg")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.__dict__) == (kind, str(error), error.__dict__)


def test_the_colon_of_a_collection_in_memory_is_not_doubled() -> None:
    assert str(NoCollection("it is empty", subject="memory:")) == "memory: it is empty"


def with_setting(name: str, value: str, then: Callable[[str, Collection], object]) -> Callable[[str, Collection], None]:
    def break_it(uri: str, photos: Collection) -> None:
        with Collection.open(uri, model=ColourEmbedder()) as other:
            other.store.set_settings({name: value})
        then(uri, photos)

    return break_it


def occupied(uri: str, _: Collection) -> None:
    Path(f"{uri}-file").touch()
    open_store(f"{uri}-file", dim=3, create=True)


FAILURES: dict[str, tuple[Callable[[str, Collection], object], str, str]] = {
    "missing": (lambda uri, _: Collection.open(f"{uri}-none"), "there is no collection", "index FOLDER -c {uri}-none"),
    "read-only": (
        lambda uri, _: open_store(f"{uri}-none", dim=3, create=True, read_only=True),
        "read_only forbids",
        "",
    ),
    "size unknown": (lambda uri, _: open_store(f"{uri}-none", create=True), "needs the size", ""),
    "not a collection": (occupied, "is not a collection", ""),
    "opened to read": (lambda uri, _: open_store(uri, read_only=True).delete(["x"]), "opened for reading only", ""),
    "other dimension": (lambda uri, _: open_store(uri, dim=999), "not 999", ""),
    "newer": (with_setting(FORMAT.name, "99", lambda uri, _: Collection.open(uri)), "format 99", ""),
    "card": (
        with_setting(CARD.name, "x", lambda uri, _: Collection.open(uri)),
        "the collection's card is not JSON",
        "",
    ),
    "other model": (
        lambda uri, photos: Collection.open(uri, model="efficientnet-lite1.in1k"),
        "scores cannot be compared",
        "-c {uri} --model",
    ),
    "id": (lambda _, photos: photos.search("id:nobody"), "no image has the id 'nobody'", ""),
    "clusters": (lambda _, photos: load_clusters(photos), "has no clusters yet", "cluster -c {uri}"),
    "empty": (lambda _, photos: read_vectors(photos), "the collection is empty", "index FOLDER -c {uri}"),
    "decisions": (lambda _, photos: Decisions(photos).decide("x", "y", "copy"), "x is not an image", "-c {uri}"),
    "calibration": (
        with_setting(CALIBRATION.name, "x", lambda _, photos: calibration_of(photos)),
        "is damaged",
        "calibrate -c {uri}",
    ),
    "too few": (lambda _, photos: calibrate(photos), "0 readable images", ""),
}


@pytest.mark.parametrize("name", FAILURES)
def test_an_error_of_a_collection_names_its_location_apart(tmp_path: Path, name: str) -> None:
    fail, reason, command = FAILURES[name]
    uri = str(tmp_path / "c")
    with (
        Collection.open(uri, model=ColourEmbedder(), create=True) as photos,
        pytest.raises(LookalikeError) as caught,
    ):
        fail(uri, photos)
    error = caught.value
    assert error.location.startswith(uri)
    assert str(error).startswith(f"{error.location}: ")
    assert reason in error.without_location()
    assert str(tmp_path) not in error.without_location()
    assert command.format(uri=uri) in error.for_command_line()
    assert ("run: lookalike" in error.for_command_line()) == bool(command)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Dataset at path a/c was not found", "there is no collection"),
        ("Permission denied (os error 13)", "writing is not permitted"),
        ("No space left on device", "the disk is full"),
        ("CommitConflictError", "other processes kept writing"),
        ("Not found: x.lance", "a file was removed while it was in use"),
        ("a new fault", "the storage engine failed: a new fault"),
    ],
)
def test_an_error_of_the_engine_names_its_location_apart(text: str, reason: str) -> None:
    error = translated(OSError(text), "/a/c")
    assert (error.subject, error.location) == ("/a/c", "/a/c")
    assert error.reason.startswith(reason)
    assert error.without_location().startswith(f"the collection: {reason}")


def sentences_with_locations() -> Iterator[str]:
    """Raised errors whose sentence itself names a URI; those of the command line are seen by its user alone."""
    root = Path(lookalike.__file__).parent
    for path in root.rglob("*.py"):
        if "cli" in path.relative_to(root).parts:
            continue
        for raised in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Raise)):
            parts = [part for call in ast.walk(raised) if isinstance(call, ast.Call) for part in call.args]
            values = [v for part in parts for v in ast.walk(part) if isinstance(v, ast.FormattedValue)]
            if any(ast.unparse(value.value).rpartition(".")[2] == "uri" for value in values):
                yield f"{path.relative_to(root)}:{raised.lineno}"


def test_no_sentence_contains_a_location() -> None:
    assert list(sentences_with_locations()) == []


def test_the_home_folder_is_expanded_in_one_way() -> None:
    """`Path.expanduser` raises for a user who does not exist; a path with "~" is then an ordinary name."""
    assert str(expanded("~no such user/x.png")) == "~no such user/x.png"
    assert expanded("~/x") == Path.home() / "x"
    source = Path(lookalike.__file__).parent
    users = [path.name for path in source.rglob("*.py") if ".expanduser()" in path.read_text(encoding="utf-8")]
    assert users == []
