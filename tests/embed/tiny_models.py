"""Small random CLIP, SigLIP and DINOv2 models of `transformers`, exported in the layouts that hubs have.

    python -m tests.embed.tiny_models FOLDER INPUTS.json

INPUTS.json has `images`, paths, and `texts`. Each model becomes a folder, and the vectors that `transformers` gives
become NAME.npz. It runs as a process of its own: PyTorch, loaded before FAISS, takes its OpenMP from it.
"""

import io
import json
import shutil
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

DIM, SIDE = 24, 224
WORDS = ("a photo of the red bicycle on beach night people dog cat und das Bild 猫 é 🚲 ! . , - ' x").split()  # noqa: SIM905
SETTINGS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


@dataclass(frozen=True)
class Reference:
    """A model as `transformers` runs it: vectors of images and of texts, rows of length 1."""

    images: Callable[[list[Image.Image]], np.ndarray]
    texts: Callable[[list[str]], np.ndarray]
    processor: Any


class _Tower(torch.nn.Module):
    """One tower as a module of its own, whose output is the projected vector."""

    def __init__(self, embed: Callable[..., torch.Tensor], model: torch.nn.Module) -> None:
        super().__init__()
        self.model, self._embed = model, embed

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self._embed(self.model, *inputs)


def clip(folder: Path) -> Reference:
    """Write a CLIP model in the layout of transformers.js."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

    torch.manual_seed(1)
    tokenizer = _clip_tokenizer(CLIPTokenizer)
    text = {**SETTINGS, "vocab_size": len(tokenizer), "max_position_embeddings": 77, "projection_dim": DIM}
    text |= {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id, "pad_token_id": 0}
    config = CLIPConfig(
        text_config=text,
        vision_config={**SETTINGS, "image_size": SIDE, "patch_size": 32, "projection_dim": DIM},
        projection_dim=DIM,
    )
    model = _spread(CLIPModel(config).eval())
    size = {"height": SIDE, "width": SIDE}
    processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=size)
    tokenizer.model_max_length = 77
    _save(folder, config, tokenizer, processor)
    _export(folder, model, mask=True)
    return _reference(model, processor, tokenizer, {"padding": True})


def siglip(folder: Path) -> Reference:
    """Write a SigLIP model in the layout of transformers.js; its tokenizer.json is a Unigram model without clean-up."""
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel, SiglipTokenizer

    torch.manual_seed(2)
    spm = _sentencepiece(folder)
    tokenizer = SiglipTokenizer(str(spm), model_max_length=16)
    config = SiglipConfig(
        text_config={
            **SETTINGS, "vocab_size": len(tokenizer), "max_position_embeddings": 16, "projection_size": 32,
        },
        vision_config={**SETTINGS, "image_size": SIDE, "patch_size": 32},
    )  # fmt: skip
    model = _spread(SiglipModel(config).eval())
    processor = SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    _save(folder, config, None, processor)
    _unigram(tokenizer).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "</s>", "model_max_length": 16}))
    spm.unlink()
    _export(folder, model, mask=False)
    return _reference(model, processor, tokenizer, {"padding": "max_length"})


def siglip2(folder: Path) -> Reference:
    """Write a SigLIP model whose tokenizer is that of SigLIP 2: byte fallback, lower case, padding to the context."""
    from transformers import Siglip2Tokenizer, SiglipConfig, SiglipImageProcessorPil, SiglipModel

    torch.manual_seed(3)
    letters = {f"<0x{n:02X}>": 5 + n for n in range(256)}
    vocab = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "<mask>": 4, **letters}
    for letter in "abcdefghijklmnopqrstuvwxyz▁":
        vocab[letter] = len(vocab)
    tokenizer = Siglip2Tokenizer(vocab=vocab, merges=[], padding_side="right", model_max_length=64)
    config = SiglipConfig(
        text_config={**SETTINGS, "vocab_size": len(vocab), "max_position_embeddings": 64, "projection_size": 32},
        vision_config={**SETTINGS, "image_size": SIDE, "patch_size": 32},
    )
    model = _spread(SiglipModel(config).eval())
    processor = SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE}, resample=2)
    _save(folder, config, tokenizer, processor)
    _export(folder, model, mask=False)
    return _reference(model, processor, tokenizer, {"padding": "max_length"})


def dinov2(folder: Path) -> Reference:
    """Write a DINOv2 model, which has no words, as onnx/model.onnx; images are cut out of larger ones."""
    from transformers import BitImageProcessorPil, Dinov2Config, Dinov2Model

    torch.manual_seed(4)
    config = Dinov2Config(**{**SETTINGS, "image_size": SIDE, "patch_size": 32})
    model = _spread(Dinov2Model(config).eval())
    size = {"height": SIDE, "width": SIDE}
    processor = BitImageProcessorPil(size={"shortest_edge": 256}, crop_size=size, do_center_crop=True, resample=3)
    _save(folder, config, None, processor)

    def embed(pixels: torch.Tensor) -> torch.Tensor:
        return model(pixel_values=pixels).pooler_output

    _write_graph(
        _Tower(lambda m, pixels: m(pixel_values=pixels).pooler_output, model), folder / "onnx" / "model.onnx",
        {"pixel_values": torch.zeros(2, 3, SIDE, SIDE)}, "pooler_output",
    )  # fmt: skip
    return Reference(
        lambda images: _unit(embed(_pixels(processor, images))), lambda texts: np.zeros((0, 32)), processor
    )


def as_open_clip(source: Path, folder: Path) -> None:
    """Write a CLIP model again in the layout of Immich: one image or text at a time, 32-bit tokens, context padded."""
    import onnx

    for tower, name in (("visual", "vision_model"), ("textual", "text_model")):
        (folder / tower).mkdir(parents=True)
        graph = onnx.load(source / "onnx" / f"{name}.onnx")
        _rename(graph, "pixel_values", "image")
        _rename(graph, "image_embeds", "embedding")
        _rename(graph, "text_embeds", "embedding")
        if tower == "textual":
            _single_text(graph)
        onnx.save(graph, folder / tower / "model.onnx")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, folder / "textual" / name)
    raw = json.loads((source / "preprocessor_config.json").read_text())
    preprocess = {"size": SIDE, "mode": "RGB", "interpolation": "bicubic", "resize_mode": "shortest", "fill_color": 0}
    preprocess |= {"mean": raw["image_mean"], "std": raw["image_std"]}
    (folder / "visual" / "preprocess_cfg.json").write_text(json.dumps(preprocess))
    config = {"embed_dim": DIM, "vision_cfg": {"image_size": SIDE}, "text_cfg": {"context_length": 77}}
    (folder / "config.json").write_text(json.dumps(config))


def with_data_file(source: Path, folder: Path) -> None:
    """Write a model again with the tensors of its image tower in a file of their own."""
    import onnx

    shutil.copytree(source, folder)
    path = folder / "onnx" / "vision_model.onnx"
    graph = onnx.load(path)
    path.unlink()
    onnx.save(graph, path, save_as_external_data=True, location="vision_model.onnx_data", size_threshold=0)


def _reference(model: Any, processor: Any, tokenizer: Any, options: dict[str, Any]) -> Reference:
    def images(given: list[Image.Image]) -> np.ndarray:
        return _unit(_tensor(model.get_image_features(pixel_values=_pixels(processor, given))))

    def texts(given: list[str]) -> np.ndarray:
        rows = []
        for text in given:
            tokens = tokenizer([text], return_tensors="pt", truncation=True, **options)
            mask = {"attention_mask": tokens["attention_mask"]} if options["padding"] is True else {}
            rows.append(_unit(_tensor(model.get_text_features(input_ids=tokens["input_ids"], **mask))))
        return np.concatenate(rows)

    return Reference(images, texts, processor)


def _pixels(processor: Any, images: list[Image.Image]) -> torch.Tensor:
    return torch.cat([processor(image, return_tensors="pt")["pixel_values"] for image in images])


def _tensor(output: Any) -> torch.Tensor:
    return output if isinstance(output, torch.Tensor) else output.pooler_output


def _unit(vectors: torch.Tensor) -> np.ndarray:
    rows = vectors.detach().numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _spread(model: Any) -> Any:
    """Make all weights large: of a new model's, every image has nearly the same vector, whatever its pixels are."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=1.6 / parameter[0].numel() ** 0.5)
    return model


def _export(folder: Path, model: Any, *, mask: bool) -> None:
    vision = _Tower(lambda m, pixels: _tensor(m.get_image_features(pixel_values=pixels)), model)
    output = "image_embeds" if mask else "pooler_output"
    pixels = torch.zeros(2, 3, SIDE, SIDE)
    _write_graph(vision, folder / "onnx" / "vision_model.onnx", {"pixel_values": pixels}, output)
    ids = torch.ones(2, 7 if mask else model.config.text_config.max_position_embeddings, dtype=torch.int64)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)} if mask else {"input_ids": ids}

    def embed(m: Any, ids: torch.Tensor, attention: torch.Tensor | None = None) -> torch.Tensor:
        options = {} if attention is None else {"attention_mask": attention}
        return _tensor(m.get_text_features(input_ids=ids, **options))

    text = _Tower(embed, model)
    _write_graph(
        text, folder / "onnx" / "text_model.onnx", inputs, "text_embeds" if mask else "pooler_output", tokens=mask
    )


def _write_graph(
    module: torch.nn.Module, path: Path, inputs: dict[str, torch.Tensor], output: str, *, tokens: bool = False
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    axes = {name: {0: "batch", 1: "tokens"} if tokens else {0: "batch"} for name in inputs}
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter is the one that takes a free number of tokens without hints
        torch.onnx.export(
            module, tuple(inputs.values()), buffer, input_names=list(inputs), output_names=[output],
            dynamic_axes={**axes, output: {0: "batch"}}, dynamo=False, opset_version=17,
        )  # fmt: skip
    path.write_bytes(buffer.getvalue())


def _save(folder: Path, config: Any, tokenizer: Any, processor: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    processor.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")


def _clip_tokenizer(kind: Any) -> Any:
    """A CLIP tokenizer of bytes and some merges."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<|startoftext|>", *alphabet, *(letter + "</w>" for letter in alphabet), "ph", "bi", "<|endoftext|>"]
    vocab = {token: n for n, token in enumerate(tokens)}
    return kind(vocab=vocab, merges=[("p", "h"), ("b", "i")])


def _sentencepiece(folder: Path) -> Path:
    import sentencepiece

    folder.mkdir(parents=True, exist_ok=True)
    lines = [" ".join(WORDS[n % len(WORDS)] for n in range(start, start + 6)).lower() for start in range(200)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(folder / "spm"), vocab_size=56, hard_vocab_limit=False,
        minloglevel=2, pad_id=-1, bos_id=-1, unk_id=2, eos_id=1, control_symbols=["<x>"],
    )  # fmt: skip
    (folder / "spm.vocab").unlink()
    return folder / "spm.model"


def _unigram(tokenizer: Any) -> Tokenizer:
    """The same pieces as a tokenizer of the tokenizers library, with the template of SigLIP: text, end."""
    from transformers.convert_slow_tokenizer import import_protobuf

    spm = tokenizer.sp_model
    pieces = [(spm.id_to_piece(n), spm.get_score(n)) for n in range(spm.get_piece_size())]
    made = Tokenizer(models.Unigram(pieces, unk_id=spm.unk_id(), byte_fallback=False))
    proto = import_protobuf().ModelProto.FromString(spm.serialized_model_proto())
    charsmap = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
    made.normalizer = normalizers.Sequence([charsmap, normalizers.Replace(" {2,}", " ")])
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    made.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", tokenizer.eos_token_id)])
    return made


def _rename(graph: Any, old: str, new: str) -> None:
    for value in (*graph.graph.input, *graph.graph.output):
        value.name = new if value.name == old else value.name
    for node in graph.graph.node:
        for names in (node.input, node.output):
            for n, name in enumerate(names):
                names[n] = new if name == old else name


def _single_text(graph: Any) -> None:
    """Give a text graph the input "text" (1, 77) of 32-bit tokens instead of input_ids and attention_mask."""
    from onnx import TensorProto, helper

    del graph.graph.input[:]
    graph.graph.input.append(helper.make_tensor_value_info("text", TensorProto.INT32, [1, 77]))
    ones = helper.make_tensor("ones", TensorProto.INT64, [1, 77], [1] * 77)
    first = [
        helper.make_node("Cast", ["text"], ["input_ids"], to=TensorProto.INT64),
        helper.make_node("Constant", [], ["attention_mask"], value=ones),
    ]
    nodes = [*first, *graph.graph.node]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)


def main() -> None:
    folder, inputs = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    images = [Image.open(path).convert("RGB") for path in inputs["images"]]
    for make in (clip, siglip, siglip2, dinov2):
        reference = make(folder / make.__name__)
        vectors = {"images": reference.images(images), "texts": reference.texts(inputs["texts"])}
        np.savez(folder / f"{make.__name__}.npz", **vectors)
    as_open_clip(folder / "clip", folder / "open_clip")
    with_data_file(folder / "clip", folder / "clip-data")
    for name in ("open_clip", "clip-data"):
        shutil.copy(folder / "clip.npz", folder / f"{name}.npz")


if __name__ == "__main__":
    main()
