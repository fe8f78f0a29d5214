"""Write a CLIP ViT-B/32 with random weights, in the layout of transformers.js: 352 MB of images, 254 MB of words.

    python -m benchmarks.large_model FOLDER

The time and the memory of a network do not depend on its weights. The tokenizer has as many tokens as that of CLIP. It
runs as a process of its own: PyTorch, loaded before FAISS, takes its OpenMP from it.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SIDE, DIM, CONTEXT = 224, 512, 77
TOKENS = 49_408


@contextmanager
def large_model(folder: Path | None) -> Iterator[Path]:
    """The folder of a large model: `folder`, written if it does not exist, or a temporary one."""
    with TemporaryDirectory() as temporary:
        path = folder or Path(temporary) / "clip-b32"
        if not (path / "onnx" / "text_model.onnx").is_file():
            subprocess.run([sys.executable, "-m", "benchmarks.large_model", str(path)], check=True)
        yield path


def tokenizer_json() -> dict[str, Any]:
    """A byte-level BPE of 49,408 tokens: each merge joins two earlier tokens."""
    import random

    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    known, merges, pick = set(tokens), [], random.Random(0)
    starts = [letter for letter in letters if letter.isascii()]
    while len(tokens) < TOKENS - 2:
        first, second = pick.choice(starts), pick.choice(tokens)
        if len(first + second) < 16 and first + second not in known:
            tokens.append(first + second)
            known.add(first + second)
            merges.append([first, second])
            if not second.endswith("</w>"):
                starts.append(first + second)
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return {"vocab": {token: n for n, token in enumerate(tokens)}, "merges": [tuple(pair) for pair in merges]}


def write(folder: Path) -> None:
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

    torch.manual_seed(0)
    tokenizer = CLIPTokenizer(**tokenizer_json())
    tokenizer.model_max_length = CONTEXT
    text = {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id, "bos_token_id": TOKENS - 2}
    model = CLIPModel(CLIPConfig(text_config=text)).eval()  # the defaults are those of ViT-B/32
    with torch.no_grad():  # of a new model's weights, every image has nearly the same vector
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=1.6 / parameter[0].numel() ** 0.5)
    (folder / "onnx").mkdir(parents=True)
    model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=size).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: cc0-1.0\n---\n")
    _export(folder / "onnx" / "vision_model.onnx", model, {"pixel_values": torch.zeros(2, 3, SIDE, SIDE)})
    ids = torch.ones(2, 7, dtype=torch.int64)
    _export(folder / "onnx" / "text_model.onnx", model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})


def _export(path: Path, model: Any, inputs: dict[str, Any]) -> None:
    import warnings

    import torch

    class Tower(torch.nn.Module):
        """One tower; the module is an attribute, so that its weights belong to the graph."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.embed = model.get_image_features if "pixel_values" in inputs else model.get_text_features

        def forward(self, *values: torch.Tensor) -> Any:
            output = self.embed(**dict(zip(inputs, values, strict=True)))
            return getattr(output, "pooler_output", output)

    output = "image_embeds" if "pixel_values" in inputs else "text_embeds"
    axes = {name: {0: "batch"} if value.ndim > 2 else {0: "batch", 1: "tokens"} for name, value in inputs.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Tower(), tuple(inputs.values()), str(path), input_names=list(inputs), output_names=[output],
            dynamic_axes={**axes, output: {0: "batch"}}, dynamo=False, opset_version=17,
        )  # fmt: skip
    print(json.dumps({path.name: round(path.stat().st_size / 1e6)}))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
