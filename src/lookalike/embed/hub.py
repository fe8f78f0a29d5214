"""ONNX models from a model hub, in the layouts of CLIP, SigLIP and DINOv2 repositories.

A repository contains `preprocessor_config.json` and the graph of its vision tower. Only the ONNX graph, this file and
README.md are downloaded.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from lookalike.embed.onnx import OnnxEmbedder, read_model
from lookalike.errors import BrokenModel, ModelError, UnknownModel
from lookalike.types import Card, Embedder, Preprocessing

_GRAPHS = ("onnx/vision_model.onnx", "vision_model.onnx", "onnx/model.onnx", "model.onnx")
# Best first: CLIP's projection, the pooled token of SigLIP and DINOv2, then the tokens, of which the first is used.
_OUTPUTS = ("image_embeds", "vectors", "pooler_output", "last_hidden_state")
_CONFIG = "preprocessor_config.json"


def hub_embedder(name: str, *, threads: int = 1) -> Embedder:
    """Open owner/name[@revision], downloading it unless it is in the hub's cache. HF_HUB_OFFLINE=1: only the cache."""
    repository, _, revision = name.partition("@")
    return embedder_of_repository(_download(repository, revision or None), f"hub:{name}", threads=threads)


def embedder_of_repository(folder: Path, name: str, *, threads: int = 1) -> Embedder:
    """Return an embedder from a folder in the layout of a hub repository. Raises BrokenModel."""
    graph = next((folder / g for g in _GRAPHS if (folder / g).is_file()), None)
    if graph is None:
        raise BrokenModel(f"{name} has no ONNX graph (tried {', '.join(_GRAPHS)}); choose a repository that has one")
    model = read_model(graph)
    outputs, inputs = _signature(model, name)
    if "pixel_values" not in inputs or len(inputs) != 1:
        raise BrokenModel(
            f"{name} has the inputs {', '.join(inputs)} instead of pixel_values alone; "
            "choose a repository with onnx/vision_model.onnx"
        )
    output = next((o for o in _OUTPUTS if o in outputs), None)
    if output is None:
        raise BrokenModel(
            f"{name} has the outputs {', '.join(outputs)}, none of which contains vectors; choose another repository"
        )
    card = Card(
        name=name,
        dim=outputs[output],
        preprocessing=_preprocessing(folder / _CONFIG, name),
        sha256=hashlib.sha256(model).hexdigest(),
        license=_license(folder),
        source=name,
    )
    return OnnxEmbedder(model, card, threads=threads, output=output)


def _download(repository: str, revision: str | None) -> Path:
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
            f"hub:{repository} could not be downloaded ({reason}); check the name and the network, "
            "or download it once and then set HF_HUB_OFFLINE=1"
        ) from error


def _signature(model: bytes, name: str) -> tuple[dict[str, int], list[str]]:
    from lookalike.embed.onnx import create_session

    session = create_session(model, 1, name)
    outputs = {o.name: o.shape[-1] for o in session.get_outputs() if o.shape and isinstance(o.shape[-1], int)}
    return outputs, [i.name for i in session.get_inputs()]


def _preprocessing(path: Path, name: str) -> Preprocessing:
    """Read the configuration of transformers' image processors: mean and std apply after rescale_factor, on 0..1."""
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BrokenModel(f"{name} has no usable {_CONFIG} ({error}); choose another repository") from None
    center_crop = raw.get("do_center_crop", False)
    size = _height_width(raw.get("crop_size" if center_crop else "size", 224))
    rescale = float(raw.get("rescale_factor", 1 / 255)) if raw.get("do_rescale", True) else 1.0
    normalizes = raw.get("do_normalize", True)
    mean = raw.get("image_mean", (0.0, 0.0, 0.0)) if normalizes else (0.0, 0.0, 0.0)
    std = raw.get("image_std", (1.0, 1.0, 1.0)) if normalizes else (1.0, 1.0, 1.0)
    return Preprocessing(
        size=size,
        resize="crop" if center_crop else "squash",
        layout="NCHW",
        dtype="float32",
        mean=tuple(m / rescale for m in mean),
        std=tuple(s / rescale for s in std),
    )


def _height_width(raw: int | dict[str, int]) -> tuple[int, int]:
    if isinstance(raw, dict):
        side = raw.get("shortest_edge", 224)
        return int(raw.get("height", side)), int(raw.get("width", side))
    return int(raw), int(raw)


def _license(folder: Path) -> str:
    """Return the license in the front matter of the README, or "unknown"."""
    readme = folder / "README.md"
    lines = readme.read_text(encoding="utf-8", errors="replace").splitlines()[:60] if readme.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("license:")), "unknown")
