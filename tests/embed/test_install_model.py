"""Published models become the user's: downloaded from a hub or copied from a folder, once, whole or not at all."""

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lookalike.cli.main import app
from lookalike.embed import get_embedder, known_models, model_list
from lookalike.embed.add_model import join_models, remove_model
from lookalike.embed.install_model import DownloadListener, HubSource, install_from_folder, install_from_hub
from lookalike.embed.layouts import required_files
from lookalike.embed.presets import PRESETS, Preset
from lookalike.embed.registry import MODELS_VARIABLE
from lookalike.errors import BadQuery, BrokenModel, ModelError, UnknownModel
from lookalike.image.resize import scaled
from lookalike.similarity import cosine
from lookalike.types import TextEmbedder
from tests.embed.fake_hub import COMMIT, LATER, FakeHub, serving
from tests.embed.small_repositories import image_graph, write_clip, write_graph, write_json, write_mclip

pytest.importorskip("onnx", reason="onnx makes the small graphs; it comes with the train extra")
pytest.importorskip("tokenizers", reason="comes with the text extra")
constants = pytest.importorskip("huggingface_hub.constants", reason="comes with the hub extra")

SOURCE = HubSource.parse("hub:some/words")


@pytest.fixture(autouse=True)
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub with the repository some/words, which the hub's client takes for the real one."""
    with serving(FakeHub()) as hub:
        hub.add("some/words", write_clip(tmp_path / "words"))
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        template = f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield hub


def folders(own_models: Path) -> list[str]:
    return sorted(path.name for path in own_models.iterdir()) if own_models.exists() else []


def color(*rgb: int) -> np.ndarray:
    return np.full((40, 60, 3), rgb, np.uint8)


def test_a_repository_is_downloaded_once_and_opened_without_a_network(hub: FakeHub, own_models: Path) -> None:
    sentences: list[str] = []
    card = install_from_hub("words", SOURCE, listener=DownloadListener(notice=sentences.append))
    assert (card.name, card.license, card.source) == ("words", "mit", f"hub:some/words@{COMMIT}")
    assert sentences[0].startswith(f"hub:some/words@{COMMIT[:12]}: 7 files, 0 MB")
    assert folders(own_models) == ["words"]
    assert folders(own_models / "words") == ["card.json", "model.onnx", "text_model.onnx", "tokenizer.json"]
    asked = len(hub.requests)
    embedder = get_embedder("words")
    assert isinstance(embedder, TextEmbedder)
    texts, images = embedder.embed_texts(["a red photo", "blue"]), embedder.embed([color(255, 0, 0), color(0, 0, 255)])
    assert np.allclose(np.diag(texts @ images.T), 1, atol=1e-3)
    assert known_models()["words"] == card
    assert len(hub.requests) == asked
    files = {"config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json", "README.md"}
    graphs = {"onnx/vision_model.onnx", "onnx/text_model.onnx"}
    assert {one.split(COMMIT)[1] for one in hub.downloads()} == {f"/{name} 0" for name in files | graphs}


def test_a_repository_named_by_a_collection_is_opened_from_the_cache(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub.add("some/mclip", write_mclip(tmp_path / "mclip", data="weights.bin"))
    for name in ("hub:some/words", "hub:some/mclip"):
        first = get_embedder(name).embed([color(255, 0, 0)])
        asked = len(hub.requests)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert np.array_equal(get_embedder(name).embed([color(255, 0, 0)]), first)
        assert len(hub.requests) == asked
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


def test_names_that_lead_out_of_the_repository_are_not_downloaded() -> None:
    names = ["onnx/vision_model.onnx", "onnx/vision_model.onnx_data", "onnx/vision_model.onnx_data/../../../x"]
    assert required_files([*names, "onnx/vision_model.onnx_data_1"], "fp32") == [
        *names[:2], "onnx/vision_model.onnx_data_1",
    ]  # fmt: skip


def test_a_preset_has_its_own_license_words_and_scale(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    (hub.folders["some/words"] / "README.md").unlink()
    row = Preset(
        name="tiny", repository="some/words", license="MIT", dim=3, side=16, megabytes={"fp32": 1}, words="English",
        scale=112.67, bias=-16.77,
    )  # fmt: skip
    monkeypatch.setitem(PRESETS, "tiny", row)  # type: ignore[arg-type]
    with pytest.raises(UnknownModel, match="lookalike models add tiny"):
        get_embedder("tiny")
    card = install_from_hub("tiny", HubSource.of_preset("tiny"))
    assert card.text is not None
    assert (card.license, card.description, card.text.scale, card.text.bias) == (
        "MIT",
        "words in English",
        112.67,
        -16.77,
    )
    with pytest.raises(BadQuery, match="fp32"):
        install_from_hub("other", HubSource.of_preset("tiny"), precision="int8")


def test_another_precision(hub: FakeHub) -> None:
    write_clip(hub.folders["some/words"], precision="_quantized")
    card = install_from_hub("small", SOURCE, precision="int8")
    assert card.source.endswith("(int8)")
    assert [one for one in hub.downloads() if "model" in one] == [
        f"/some/words/resolve/{COMMIT}/onnx/{name}_model_quantized.onnx 0" for name in ("vision", "text")
    ]
    with pytest.raises(BrokenModel, match="it has fp32, int8"):
        install_from_hub("half", SOURCE, precision="fp16")


def test_an_interrupted_download_goes_on(hub: FakeHub, own_models: Path) -> None:
    text = hub.folders["some/words"] / "onnx/text_model.onnx"
    hub.hidden.add("onnx/text_model.onnx")
    with pytest.raises(UnknownModel, match="run this again, which continues"):
        install_from_hub("words", SOURCE)
    assert folders(own_models) == [".download-words"]
    assert known_models().keys() == known_models(added=False).keys()
    hub.hidden.clear()
    hub.requests.clear()
    install_from_hub("words", SOURCE)
    assert not [one for one in hub.downloads() if "vision_model" in one]
    assert text.is_file()
    assert folders(own_models) == ["words"]


def test_a_connection_that_breaks_is_resumed(hub: FakeHub) -> None:
    hub.cut = "onnx/vision_model.onnx"
    assert install_from_hub("words", SOURCE).dim == 3


def test_another_commit_is_downloaded_from_the_beginning(hub: FakeHub, own_models: Path) -> None:
    hub.hidden.add("onnx/text_model.onnx")
    with pytest.raises(UnknownModel):
        install_from_hub("words", SOURCE)
    hub.hidden.clear()
    hub.commits["some/words"] = LATER
    hub.requests.clear()
    assert install_from_hub("words", SOURCE).source == f"hub:some/words@{LATER}"
    assert [one for one in hub.downloads() if "vision_model" in one]


def test_files_that_are_not_what_was_published(hub: FakeHub, own_models: Path) -> None:
    vision = (hub.folders["some/words"] / "onnx/vision_model.onnx").read_bytes()
    known = {"onnx/vision_model.onnx": "0" * 64}
    with pytest.raises(BrokenModel, match=r"has changed: its onnx/vision_model\.onnx"):
        install_from_hub("words", dataclasses.replace(SOURCE, sha256=known))
    assert (hub.downloads(), folders(own_models)) == ([], [])
    hub.damaged["onnx/vision_model.onnx"] = vision[:-1] + b"\0"
    with pytest.raises(BrokenModel, match=r"vision_model.onnx of hub:some/words is not what was published"):
        install_from_hub("words", SOURCE)
    hub.damaged.clear()
    assert install_from_hub("words", SOURCE).sha256 == hashlib.sha256(vision).hexdigest()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("hub:some/none", "does not exist, or is private"),
        ("hub:some/words@none", "no such revision"),
        ("hub:some/gated", "accept its license"),
        ("hub:some/pickles", "no ONNX graph"),
    ],
)
def test_repositories_that_cannot_be_had(hub: FakeHub, own_models: Path, source: str, message: str) -> None:
    (hub.folders["some/words"].parent / "pickles").mkdir()
    (hub.folders["some/words"].parent / "pickles/pytorch_model.bin").write_bytes(b"\x80\x04.")
    hub.add("some/pickles", hub.folders["some/words"].parent / "pickles")
    hub.add("some/gated", hub.folders["some/words"])
    hub.gated.add("some/gated")
    with pytest.raises(ModelError, match=message):
        install_from_hub("words", HubSource.parse(source))
    assert folders(own_models) == []


def test_no_network(hub: FakeHub, own_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match=r"could not be downloaded.*check the name and the network"):
        install_from_hub("words", SOURCE)
    assert folders(own_models) == []


def test_no_space(hub: FakeHub, own_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**6))
    with pytest.raises(ModelError, match=r"needs 0 MB, and the disk of .* has 1 MB left"):
        install_from_hub("words", SOURCE)
    assert not hub.downloads()


def test_a_disk_that_fills_up(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    with pytest.raises(ModelError, match="the disk is full"):
        install_from_hub("words", SOURCE)


@pytest.mark.parametrize(("library", "extra"), [("huggingface_hub", "hub"), ("tokenizers", "text")])
def test_without_the_libraries(
    hub: FakeHub, own_models: Path, monkeypatch: pytest.MonkeyPatch, library: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ModelError, match=rf"pip install 'lookalike\[{extra}\]'"):
        install_from_hub("words", SOURCE)
    assert not hub.downloads()


def test_what_is_no_model_leaves_nothing(hub: FakeHub, own_models: Path) -> None:
    (hub.folders["some/words"] / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(BrokenModel, match="is no tokenizer"):
        install_from_hub("words", SOURCE)
    assert folders(own_models) == []
    write_clip(hub.folders["some/words"], text_name="sentences")
    with pytest.raises(BrokenModel, match="inputs sentences"):
        install_from_hub("words", SOURCE)
    assert folders(own_models) == []


def test_a_name_is_taken_until_it_is_overwritten_or_removed(hub: FakeHub, own_models: Path) -> None:
    install_from_hub("words", SOURCE)
    hub.requests.clear()
    with pytest.raises(BadQuery, match="--overwrite"):
        install_from_hub("words", SOURCE)
    assert not hub.requests
    hub.commits["some/words"] = LATER
    assert install_from_hub("words", SOURCE, overwrite=True).source.endswith(LATER)
    remove_model("words")
    hub.hidden.add("onnx/text_model.onnx")
    with pytest.raises(UnknownModel):
        install_from_hub("words", SOURCE)
    remove_model("words")  # what was downloaded so far
    assert folders(own_models) == []


@pytest.mark.parametrize("tokens", ["t", 12])
def test_m_clip_with_data_files_of_the_same_name(
    hub: FakeHub, tmp_path: Path, own_models: Path, tokens: int | str
) -> None:
    name = "7e068af8-4887-11ef-ab3a-00155d655292"
    hub.add("some/mclip", write_mclip(tmp_path / "mclip", tokens=tokens, data=name))
    (tmp_path / "mclip/textual/transformer.encoder.bias").write_bytes(b"of an older export")
    card = install_from_hub("many", HubSource.parse("hub:some/mclip"))
    assert card.text is not None
    assert (card.data_files, card.text.data_files) == ((name,), (name,))
    assert (card.text.context, card.text.pad_to_context) == ((12, True) if tokens == 12 else (8, False))
    assert folders(own_models / "many") == [name, "card.json", "model.onnx", "text", "tokenizer.json"]
    assert folders(own_models / "many/text") == [name, "text_model.onnx"]
    assert not [one for one in hub.downloads() if "transformer.encoder" in one]
    embedder = get_embedder("many")
    assert isinstance(embedder, TextEmbedder)
    assert np.allclose(embedder.embed_texts(["green"]) @ embedder.embed([color(0, 255, 0)]).T, 1, atol=1e-3)


def test_a_data_file_that_the_repository_lacks(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("some/mclip", write_mclip(tmp_path / "mclip", data="weights.bin"))
    (tmp_path / "mclip/textual/weights.bin").unlink()
    with pytest.raises(BrokenModel, match=r"lacks textual/weights\.bin"):
        install_from_hub("many", HubSource.parse("hub:some/mclip"))


def test_a_folder_is_copied(tmp_path: Path, own_models: Path) -> None:
    card = install_from_folder("mine", write_clip(tmp_path / "words"))
    assert (card.name, card.source, card.license) == ("mine", "words", "mit")
    again = install_from_folder("again", own_models / "mine")  # a folder with a card
    assert (again.name, again.source, again.sha256) == ("again", "words", card.sha256)
    (tmp_path / "words/onnx/vision_model.onnx").unlink()
    assert np.allclose(get_embedder("mine").embed([color(9, 200, 9)]), get_embedder("again").embed([color(9, 200, 9)]))


def test_folders_of_strangers(tmp_path: Path, own_models: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(np.eye(3, dtype=np.float32).tobytes())
    folder = write_clip(tmp_path / "words")
    cases = {
        "larger than 4 MB": lambda: (folder / "config.json").write_text(json.dumps({"a": "b" * 5_000_000})),
        "not a number of pixels": lambda: write_json(
            folder / "preprocessor_config.json", {"size": {"height": 10**9, "width": 10**9}}
        ),
        "no usable preprocessor_config.json": lambda: (folder / "preprocessor_config.json").write_text("[" * 100_000),
        "is not one beside it": lambda: climb(folder / "onnx/vision_model.onnx"),
        "no ONNX file": lambda: (folder / "onnx/vision_model.onnx").write_bytes(b"\x80\x04 a pickle"),
        "is a link that leads out": lambda: link(folder / "tokenizer.json", tmp_path / "elsewhere.json"),
        "the name of another file": lambda: write_graph(
            folder / "onnx/vision_model.onnx", image_graph("pixel_values", "image_embeds"), data="card.json"
        ),
    }
    for message, spoil in cases.items():
        shutil.rmtree(folder)
        write_clip(folder)
        spoil()
        with pytest.raises(BrokenModel, match=message):
            install_from_folder("mine", folder)
        assert folders(own_models) == [], message
    with pytest.raises(BrokenModel, match="no folder of a model"):
        install_from_folder("mine", tmp_path / "none")


def climb(graph: Path) -> None:
    """Let a graph refer to a file outside its folder."""
    write_graph(graph, image_graph("pixel_values", "image_embeds"), data="weights.bin")
    data = graph.read_bytes()
    assert data.count(b"weights.bin") == 1
    graph.write_bytes(data.replace(b"weights.bin", b"../../secre"))


def link(path: Path, target: Path) -> None:
    shutil.move(path, target)
    path.symlink_to(target)


def test_words_beside_a_part_for_copies(hub: FakeHub) -> None:
    install_from_hub("words", SOURCE)
    card = join_models("both", alike="words", copy="efficientnet-lite1.two-parts")
    joined, alone = get_embedder("both"), get_embedder("words")
    assert known_models()["both"] == joined.card == card
    assert [(part.name, part.dim) for part in card.parts] == [("alike", 3), ("copy", 256)]
    assert (card.preprocessing.resize, card.preprocessing.size) == ("bound", (336, 336))
    assert isinstance(joined, TextEmbedder)
    assert isinstance(alone, TextEmbedder)
    assert card.text == alone.card.text
    image = np.random.default_rng(0).integers(0, 256, (500, 700, 3), dtype=np.uint8)
    (vector,), (text,) = joined.embed([image]), joined.embed_texts(["red"])
    assert np.allclose(vector[:3] * np.sqrt(2), alone.embed([image])[0], atol=0.05)
    assert np.allclose(text[:3], alone.embed_texts(["red"])[0])
    assert not text[3:].any()
    # Its copies are those of the model for copies, and so is what their scores mean.
    copies = get_embedder("efficientnet-lite1.two-parts")
    coarse = scaled(np.random.default_rng(1).integers(0, 256, (10, 14, 3), dtype=np.uint8), 500, 700)
    ours, theirs = joined.embed([coarse])[:, 3:], copies.embed([coarse])[:, 256:]
    assert 2 * cosine(ours, theirs)[0, 0] > 0.99  # the length of a part is the root of a half
    assert card.calibration == copies.card.calibration


def test_on_the_command_line(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_list, "MEASURED_SECONDS", 0.0)
    run = CliRunner().invoke
    row = dataclasses.replace(PRESETS["clip"], repository="some/words", revision=COMMIT, sha256={})
    monkeypatch.setitem(PRESETS, "clip", row)  # type: ignore[arg-type]
    before = run(app, ["models"])
    assert "to download: fp32 608 MB" in before.stdout
    assert "tried" in before.stderr
    added = run(app, ["models", "add", "clip"])
    assert added.exit_code == 0, added.output
    assert "0 MB" in added.stderr
    (line,) = [line for line in run(app, ["models"]).stdout.splitlines() if line.startswith("clip  ")]
    assert "words in English" in line
    assert "MB here" in line
    assert run(app, ["models", "add", "hub:some/words"]).exit_code == 0
    assert run(app, ["models", "add", "copy", "--from", str(hub.folders["some/words"])]).exit_code == 0
    listed = [json.loads(line) for line in run(app, ["models", "--measure", "--json"]).stdout.splitlines()]
    status = {model["name"]: model["status"] for model in listed}
    assert status["clip"] == status["words"] == status["copy"] == "added"
    assert status["siglip2"] == "known"
    assert all(model["images_per_second"] > 0 for model in listed if model["status"] != "known")
    assert not any(model["tried"] for model in listed if model["status"] == "known")
    assert run(app, ["models", "remove", "clip"]).exit_code == 0


def test_ctrl_c_says_that_the_next_run_continues(
    hub: FakeHub, own_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("huggingface_hub.hf_hub_download", interrupt)
        ran = CliRunner().invoke(app, ["models", "add", "words", "--from", "hub:some/words"])
    assert (ran.exit_code, ran.stderr.splitlines()[-1]) == (
        130, "interrupted; what was downloaded stays, the next run continues",
    )  # fmt: skip
    assert folders(own_models) == [".download-words"]
    assert CliRunner().invoke(app, ["models", "add", "words", "--from", "hub:some/words"]).exit_code == 0
    assert folders(own_models) == ["words"]


def test_presets_are_whole_and_documented() -> None:
    page = (Path(__file__).parents[2] / "docs/models.md").read_text(encoding="utf-8")
    for row in PRESETS.values():
        (line,) = [line for line in page.splitlines() if line.startswith(f"| `{row.name}` |")]
        assert row.repository in line
        assert f"| {row.license} |" in line
        assert all(f"{precision} {size:,.0f}" in line for precision, size in row.megabytes.items() if size)
        assert row.repository.count("/") == 1
        assert row.revision == "main" or len(row.revision) == 40
        assert all(len(sha256) == 64 for sha256 in row.sha256.values())
        assert (row.scale is None) == (row.bias is None)
        assert "fp32" in row.precisions
        assert row.license
