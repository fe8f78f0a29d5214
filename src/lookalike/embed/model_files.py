"""The files of a model: where they lie, and their checksums."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookalike.embed.card import MODEL_FILE, TEXT_FOLDER, TEXT_MODEL_FILE, TOKENIZER_FILE, load_card
from lookalike.errors import BrokenModel
from lookalike.types import Card

BLOCK = 2**20
_checksums: dict[tuple[tuple[str, int, int, int, int], ...], str] = {}  # by the states of the files


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """A card and its files. `text_model` and `tokenizer` are there if the card has a text tower."""

    card: Card
    model: Path
    text_model: Path | None = None
    tokenizer: Path | None = None

    def paths(self) -> list[Path]:
        """Return all the files but the card: the graphs, their data files, and the tokenizer."""
        text = self.card.text
        data = [self.model.parent / name for name in self.card.data_files]
        if self.text_model is None or text is None:
            return [self.model, *data]
        data += [self.text_model.parent / name for name in text.data_files]
        return [self.model, self.text_model, *data, *([self.tokenizer] if self.tokenizer else [])]


def files_in(folder: Path) -> ModelFiles:
    """Return the files of a folder with card.json. Raises BrokenModel."""
    card = load_card(folder)
    if card.text is None:
        return ModelFiles(card=card, model=folder / MODEL_FILE)
    return ModelFiles(
        card=card,
        model=folder / MODEL_FILE,
        text_model=text_folder(folder, card) / TEXT_MODEL_FILE,
        tokenizer=folder / TOKENIZER_FILE,
    )


def text_folder(folder: Path, card: Card) -> Path:
    """Return the folder of text_model.onnx in a model's folder: one of its own if it has data files.

    Graphs name their data files, and those of two towers may have the same names.
    """
    return folder / TEXT_FOLDER if card.text is not None and card.text.data_files else folder


def checksum(file: Path, data_files: Iterable[str] = ()) -> str:
    """Return the SHA-256 of a file and of the data files beside it, one after the other. Raises BrokenModel.

    A file that this process has read, and that has not changed since, is not read again.
    """
    paths = [file, *(file.parent / name for name in data_files)]
    states = tuple(_state(path) for path in paths)
    if states not in _checksums:
        digest = hashlib.sha256()
        for path in paths:
            _update(digest, path)
        if states != tuple(_state(path) for path in paths):
            return digest.hexdigest()
        _checksums[states] = digest.hexdigest()
    return _checksums[states]


def _update(digest: Any, path: Path) -> None:
    try:
        with path.open("rb") as opened:
            while block := opened.read(BLOCK):
                digest.update(block)
    except OSError as error:
        raise _unreadable(path, error) from None


def _state(path: Path) -> tuple[str, int, int, int, int]:
    """What changes with a file's content; the time of its last change of any kind cannot be set by hand."""
    try:
        stat = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    return str(path.resolve()), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _unreadable(path: Path, error: OSError) -> BrokenModel:
    return BrokenModel(f"{path} cannot be read ({error.strerror}); copy or export the model again")


def check_file(file: Path, expected: str, data_files: Iterable[str] = ()) -> None:
    """Raise BrokenModel unless a file is the one that its card describes."""
    actual = checksum(file, data_files)
    if actual != expected:
        raise BrokenModel(
            f"{file} is not the file its card describes (sha256 {actual[:12]}…, the card says {expected[:12]}…); "
            "copy or export the model again"
        )
