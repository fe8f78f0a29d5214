"""The tools of `lookalike mcp`, called by the protocol's own client."""

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import cv2
import numpy as np
import pytest

from lookalike.cluster import label_table
from lookalike.search import Collection
from tests.conftest import COLOURS, encode, picture
from tests.words_model import write_words_model

pytest.importorskip("mcp", reason="needs the extra: pip install 'lookalike[mcp]'")
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters

from lookalike.mcp.tools import make_server


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of each colour, a busy one with an altered copy, by the default model and one for words."""
    folder = tmp_path_factory.mktemp("mcp")
    (folder / "photos").mkdir()
    for seed, (name, colour) in enumerate(COLOURS.items()):
        (folder / "photos" / f"{name}.png").write_bytes(encode(picture(colour, seed=seed, size=(96, 72))))
    rng = np.random.default_rng(3)
    busy = picture(COLOURS["violet"], seed=5, size=(480, 360))
    for _ in range(90):
        x, y = rng.integers(0, 430), rng.integers(0, 310)
        busy[y : y + rng.integers(8, 50), x : x + rng.integers(8, 50)] = rng.integers(0, 255, 3)
    (folder / "photos" / "busy.png").write_bytes(encode(busy))
    smaller = cv2.resize(busy, (360, 270), interpolation=cv2.INTER_AREA)
    (folder / "photos" / "smaller.jpg").write_bytes(encode(smaller, "JPEG"))
    with Collection.open(folder / "c", create=True) as photos:
        photos.added_models.add(write_words_model(folder / "words"))
        photos.sync(folder / "photos")
    return folder


@pytest.fixture
def photos(place: Path) -> Iterator[Collection]:
    with Collection.open(place / "c") as opened:
        yield opened


def call(server: Any, name: str, **arguments: Any) -> tuple[Any, list[bytes], bool]:
    """The answer's JSON or sentence, its images, and whether it is an error."""

    async def ask() -> Any:
        async with Client(server) as client:
            return await client.call_tool(name, arguments)

    result = anyio.run(ask)
    texts = [part.text for part in result.content if part.type == "text"]
    images = [base64.b64decode(part.data) for part in result.content if part.type == "image"]
    failed = bool(result.is_error)
    return (texts[0] if failed else json.loads(texts[0])), images, failed


def tools(server: Any) -> dict[str, Any]:
    async def ask() -> Any:
        async with Client(server) as client:
            return await client.list_tools()

    return {tool.name: tool for tool in anyio.run(ask).tools}


def test_the_tools_say_what_they_do_and_only_read(photos: Collection) -> None:
    offered = tools(make_server(photos))
    assert set(offered) == {"describe_collection", "search_images", "find_copies", "compare_images", "get_image"}
    for tool in offered.values():
        assert tool.annotations.read_only_hint
        assert len(tool.description) > 40
        assert "self" not in tool.input_schema["properties"]
    assert set(tools(make_server(photos, allow_write=True))) == {*offered, "label_images"}


def test_the_collection_is_described(photos: Collection) -> None:
    facts, _, _ = call(make_server(photos), "describe_collection")
    assert (facts["images"], facts["added_models"], facts["words"]) == (7, ["words"], True)
    assert facts["columns"]["width"] == "int"


def test_words_and_images_find_images_with_thumbnails(photos: Collection, place: Path) -> None:
    server = make_server(photos)
    answer, images, _ = call(server, "search_images", words="a red thing", k=3, thumbnails=2)
    assert answer["hits"][0]["id"] == "photos/red.png"
    assert (answer["model"], answer["hits"][0]["percentile"], len(images)) == ("words", 100, 2)
    assert cv2.imdecode(np.frombuffer(images[0], np.uint8), cv2.IMREAD_COLOR) is not None
    answer, images, _ = call(server, "search_images", images=[str(place / "photos/red.png")], k=1, thumbnails=0)
    assert (answer["hits"][0]["id"], images) == ("photos/red.png", [])
    answer, _, _ = call(server, "search_images", words="violet", minus=["text:blue"], where="width < 100", k=1)
    assert answer["hits"][0]["id"] == "photos/red.png"
    assert not {"thumbnail", "sha256"} & answer["hits"][0]["metadata"].keys()


def test_copies_are_verified(photos: Collection) -> None:
    answer, images, _ = call(make_server(photos), "find_copies", image="id:photos/busy.png", k=3)
    first = answer["hits"][0]
    assert (first["id"], first["relation"], answer["copies"]) == ("photos/smaller.jpg", "copy", 1)
    assert first["probability"] > 0.5
    assert [hit["relation"] for hit in answer["hits"][1:]].count("copy") == 0
    assert len(images) == 3


def test_two_images_are_compared_and_one_is_shown(photos: Collection, place: Path) -> None:
    server = make_server(photos)
    answer, _, _ = call(server, "compare_images", first="id:photos/busy.png", second=str(place / "photos/smaller.jpg"))
    assert answer["relation"] == "copy"
    assert answer["words"]
    answer, images, _ = call(server, "get_image", id="photos/busy.png")
    assert (answer["metadata"]["width"], len(images)) == (480, 1)


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("search_images", {}, "give words, images, or both"),
        ("search_images", {"images": ["id:nothing"]}, "no image has the id"),
        ("search_images", {"images": ["/nowhere.png"]}, "nowhere.png"),
        ("search_images", {"words": "red", "where": "nonsense <"}, ""),
        ("search_images", {"words": "red", "by": "nonsense"}, "neither a part"),
        ("search_images", {"words": "red", "k": 100_000}, "100"),
        ("search_images", {"wrods": "red"}, ""),
        ("find_copies", {"image": "id:x"}, "no image has the id"),
        ("compare_images", {"first": "id:photos/red.png", "second": "id:x"}, "no image has the id"),
        ("get_image", {"id": "x"}, "no image has the id"),
        ("compare_images", {"first": "~nosuchuser/x.png", "second": "id:photos/red.png"}, "nosuchuser/x.png"),
        ("label_images", {"ids": ["photos/red.png"], "label": "x"}, "label_images"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(
    photos: Collection, name: str, arguments: dict[str, Any], sentence: str
) -> None:
    from mcp.shared.exceptions import MCPError

    try:
        answer, _, failed = call(make_server(photos), name, **arguments)
    except* MCPError as errors:  # an unknown tool
        answer, failed = str(errors.exceptions[0]), True
    assert failed, answer
    assert sentence in answer
    assert "Traceback" not in answer


def test_labels_only_where_they_are_allowed(photos: Collection) -> None:
    server = make_server(photos, allow_write=True)
    assert call(server, "label_images", ids=["photos/red.png", "none"], label="warm")[0] == {"changed": 1}
    assert photos.ids("label = 'warm'") == ["photos/red.png"]
    assert call(server, "label_images", ids=["photos/red.png"], label="")[0] == {"changed": 1}
    assert photos.ids("label = 'warm'") == []
    assert call(server, "label_images", ids=["photos/red.png"], label="a\nb")[2]
    label_table(photos).put([{"id": "photos/red.png", "label": "guess", "given": False, "confidence": 0.9}])
    call(server, "label_images", ids=["photos/red.png"], label="sure")
    assert label_table(photos).all() == []  # a guess is no longer needed
    call(server, "label_images", ids=["photos/red.png"], label="")


def test_the_command_line(place: Path) -> None:
    async def ask() -> Any:
        words = ["-m", "lookalike", "mcp", "-c", str(place / "c")]
        async with Client(StdioServerParameters(command=sys.executable, args=words)) as client:
            return await client.call_tool("search_images", {"words": "green", "k": 1})

    result = anyio.run(ask)
    assert json.loads(result.content[0].text)["hits"][0]["id"] == "photos/green.png"
