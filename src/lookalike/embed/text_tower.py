"""The tower of a model that embeds words: a tokenizer and an ONNX graph, both loaded with the first text."""

import re
import string
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.embed.devices import AUTO, CPU, candidates, requested_device
from lookalike.embed.graph_signature import depends_on_the_batch
from lookalike.embed.model_files import ModelFiles, check_file
from lookalike.embed.onnx_session import create_device_session, create_session
from lookalike.errors import BrokenModel, ModelError
from lookalike.similarity import normalize
from lookalike.types import TextTower, Vectors

BATCH = 16  # texts
MAX_TOKENIZER_BYTES = 128 * 2**20
TOKEN_INPUTS = ("input_ids", "text", "tokens", "input")
MASK_INPUT = "attention_mask"
_INTEGERS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class TextEncoder:
    """Embeds texts with the text tower of a model; thread-safe.

    Raises ModelError if the tokenizers library is missing, BrokenModel if a file is not what the card describes.
    """

    def __init__(self, files: ModelFiles, *, threads: int = 1, device: str | None = CPU) -> None:
        assert files.card.text is not None
        self._files, self._threads, self._device = files, threads, device
        self._tower: TextTower = files.card.text
        self._lock = threading.Lock()
        self._tokenizer: Any = None
        self._session: Any = None
        self._single = False  # whether texts are embedded one at a time

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors (len(texts), dim) of texts, rows of length 1. What exceeds the context is cut."""
        self._load()
        parts = [self._run(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, self._files.card.dim), np.float32)

    def truncated(self, text: str) -> str | None:
        """Return the beginning of a text that counts if it exceeds the context, None if all of it counts."""
        self._load()
        cleaned = clean(text, self._tower.clean)
        encoding = self._tokenizer.encode(cleaned)
        if not encoding.overflowing:
            return None
        # Special tokens have the empty span (0, 0).
        return cleaned[: max((end for _, end in encoding.offsets), default=0)]

    def _load(self) -> None:
        with self._lock:
            if self._session is not None:
                return
            files, tower = self._files, self._tower
            assert files.text_model is not None
            self._tokenizer = self._load_tokenizer()
            check_file(files.text_model, tower.sha256, tower.data_files)
            self._single = depends_on_the_batch(files.text_model)
            self._session = self._open_session(files.text_model)

    def _open_session(self, model: Path) -> Any:
        """Open the graph on the device that was named; "auto" is the CPU, which needs less time than a GPU to start."""
        name, threads = self._files.card.name, self._threads
        if requested_device(self._device) != AUTO:
            for accelerator in candidates(self._device):
                return create_device_session(model, accelerator, threads=threads, name=name)
        return create_session(model, threads=threads, name=name)

    def _load_tokenizer(self) -> Any:
        path, tower = self._files.tokenizer, self._tower
        assert path is not None
        check_file(path, tower.tokenizer_sha256)
        tokenizer = open_tokenizer(path)
        # Both have settings in the file, which are for another use.
        tokenizer.enable_truncation(max_length=tower.context)
        tokenizer.enable_padding(
            direction="left" if tower.pad_left else "right",
            pad_id=tower.pad_id,
            pad_token=tokenizer.id_to_token(tower.pad_id) or "",
            length=tower.context if tower.pad_to_context else None,
        )
        return tokenizer

    def _run(self, texts: Sequence[str]) -> Vectors:
        encodings = self._tokenizer.encode_batch([clean(text, self._tower.clean) for text in texts])
        feeds = text_feeds(self._session.get_inputs(), encodings)
        output = self._tower.output or self._session.get_outputs()[0].name
        if self._single or self._session.get_inputs()[0].shape[0] == 1:
            rows = [
                self._session.run([output], {name: values[n : n + 1] for name, values in feeds.items()})[0]
                for n in range(len(texts))
            ]
            vectors = np.concatenate(rows)
        else:
            (vectors,) = self._session.run([output], feeds)
        card = self._files.card
        if vectors.shape != (len(texts), card.dim):
            raise BrokenModel(
                f"the text tower of {card.name} returns vectors of shape {vectors.shape[1:]}, but its card {card.dim}; "
                "add the model again"
            )
        return normalize(vectors.astype(np.float32))


def clean(text: str, how: str) -> str:
    """Return a text as the tower's training prepared it; see `TextTower.clean`."""
    # A lone surrogate, as in a name that the system could not decode, is no text.
    text = text.encode("utf-8", "replace").decode("utf-8")
    match how:
        case "":
            return text
        case "spaces":
            return " ".join(text.split())
        case "lowercase":
            return text.lower()
        case _:
            return re.sub(r"\s+", " ", text.lower().translate(_PUNCTUATION)).strip()


def open_tokenizer(path: Any) -> Any:
    """Open tokenizer.json. Raises ModelError without the tokenizers library, BrokenModel for a file that is none."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise ModelError(
            "searching by text needs the tokenizers library; install it with: pip install 'lookalike[text]'"
        ) from None
    try:
        if path.stat().st_size > MAX_TOKENIZER_BYTES:
            raise BrokenModel(f"{path} is larger than {MAX_TOKENIZER_BYTES // 2**20} MB; it is no tokenizer")
        return Tokenizer.from_file(str(path))
    except OSError as error:
        raise BrokenModel(f"{path} cannot be read ({error.strerror}); add the model again") from None
    except BrokenModel:
        raise
    except Exception as error:  # the library raises plain Exception
        raise BrokenModel(f"{path} is no tokenizer ({str(error)[:200]}); add the model again") from error


def text_feeds(inputs: Sequence[Any], encodings: Sequence[Any]) -> dict[str, NDArray[Any]]:
    """Return the graph's inputs (n, tokens) by name. Raises BrokenModel for a graph with other inputs."""
    feeds: dict[str, NDArray[Any]] = {}
    for one in inputs:
        if one.name in TOKEN_INPUTS:
            values = [encoding.ids for encoding in encodings]
        elif one.name == MASK_INPUT:
            values = [encoding.attention_mask for encoding in encodings]
        elif one.name == "token_type_ids":
            values = [encoding.type_ids for encoding in encodings]
        elif one.name == "position_ids":
            values = [list(range(len(encoding.ids))) for encoding in encodings]
        else:
            raise BrokenModel(f"a text graph with the input {one.name} is not supported; choose another export")
        if one.type not in _INTEGERS:
            raise BrokenModel(f"the text graph's input {one.name} is {one.type}, not whole numbers of tokens")
        feeds[one.name] = np.array(values, _INTEGERS[one.type])
    return feeds
