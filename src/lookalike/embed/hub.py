"""ONNX models from a hub, in the layouts of CLIP, SigLIP and DINOv2 repositories.

A repository holds `preprocessor_config.json` and the graph of its vision tower. Only ONNX and JSON files are fetched.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from lookalike.embed.onnx import OnnxEmbedder, read_model
from lookalike.errors import BrokenModel, ModelError, UnknownModel
from lookalike.types import Card, Embedder, Preprocessing

_GRAPHS = ("onnx/vision_model.onnx", "vision_model.onnx", "onnx/model.onnx", "model.onnx")
# Best first: CLIP's projection, SigLIP's and DINOv2's pooled token, then the tokens, of which the first is taken.
_OUTPUTS = ("image_embeds", "vectors", "pooler_output", "last_hidden_state")
_CONFIG = "preprocessor_config.json"


def hub_embedder(name: str, *, threads: int = 1) -> Embedder:
    """Fetch (or find in the hub's cache) owner/name[@revision] and open it. HF_HUB_OFFLINE=1 uses the cache alone."""
    repository, _, revision = name.partition("@")
    return embedder_of_repository(_fetch(repository, revision or None), f"hub:{name}", threads=threads)


def embedder_of_repository(folder: Path, name: str, *, threads: int = 1) -> Embedder:
    """An embedder from a folder in a hub repository's layout."""
    graph = next((folder / g for g in _GRAPHS if (folder / g).is_file()), None)
    if graph is None:
        raise BrokenModel(
            f"{name} has no ONNX graph (looked for {', '.join(_GRAPHS)}); choose a repository that has one"
        )
    model = read_model(graph)
    outputs, inputs = _signature(model, name)
    if "pixel_values" not in inputs or len(inputs) != 1:
        raise BrokenModel(
            f"{name} asks for {', '.join(inputs)} and not for pixel_values alone; "
            "choose a repository with onnx/vision_model.onnx"
        )
    output = next((o for o in _OUTPUTS if o in outputs), None)
    if output is None:
        raise BrokenModel(f"{name} gives {', '.join(outputs)}, none of which is known to hold vectors")
    card = Card(
        name=name,
        dim=outputs[output],
        preprocessing=_preprocessing(folder / _CONFIG, name),
        sha256=hashlib.sha256(model).hexdigest(),
        license=_licence(folder),
        source=name,
    )
    return OnnxEmbedder(model, card, threads=threads, output=output)


def _fetch(repository: str, revision: str | None) -> Path:
    try:
        import huggingface_hub
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError:
        raise ModelError(
            "models from a hub need huggingface_hub; install it with: pip install 'lookalike[hub]'"
        ) from None
    try:
        patterns = [*_GRAPHS, _CONFIG, "README.md"]
        return Path(huggingface_hub.snapshot_download(repository, revision=revision, allow_patterns=patterns))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UnknownModel(
            f"hub:{repository} could not be fetched ({reason}); check the name and the network, "
            "or fetch it once with a network and set HF_HUB_OFFLINE=1"
        ) from error


def _signature(model: bytes, name: str) -> tuple[dict[str, int], list[str]]:
    from lookalike.embed.onnx import _session

    session = _session(model, 1, name)
    outputs = {o.name: o.shape[-1] for o in session.get_outputs() if o.shape and isinstance(o.shape[-1], int)}
    return outputs, [i.name for i in session.get_inputs()]


def _preprocessing(path: Path, name: str) -> Preprocessing:
    """As transformers' image processors write it: sizes in pixels, mean and std on 0..1 after rescale_factor."""
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BrokenModel(f"{name} has no usable {_CONFIG} ({error}); choose another repository") from None
    crops = raw.get("do_center_crop", False)
    size = _size(raw.get("crop_size" if crops else "size", 224))
    rescale = float(raw.get("rescale_factor", 1 / 255)) if raw.get("do_rescale", True) else 1.0
    normalises = raw.get("do_normalize", True)
    mean = raw.get("image_mean", (0.0, 0.0, 0.0)) if normalises else (0.0, 0.0, 0.0)
    std = raw.get("image_std", (1.0, 1.0, 1.0)) if normalises else (1.0, 1.0, 1.0)
    return Preprocessing(
        size=size,
        resize="crop" if crops else "squash",
        layout="NCHW",
        dtype="float32",
        mean=tuple(m / rescale for m in mean),
        std=tuple(s / rescale for s in std),
    )


def _size(raw: int | dict[str, int]) -> tuple[int, int]:
    if isinstance(raw, dict):
        side = raw.get("shortest_edge", 224)
        return int(raw.get("height", side)), int(raw.get("width", side))
    return int(raw), int(raw)


def _licence(folder: Path) -> str:
    """The licence line of the repository's README front matter, where there is one."""
    readme = folder / "README.md"
    lines = readme.read_text(encoding="utf-8", errors="replace").splitlines()[:60] if readme.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("license:")), "unknown")
