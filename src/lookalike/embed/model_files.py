"""The files of a model: where they lie, and their checksums."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lookalike.embed.card import MODEL_FILE, TEXT_FOLDER, TEXT_MODEL_FILE, TOKENIZER_FILE, load_card
from lookalike.errors import BrokenModel
from lookalike.types import Card

BLOCK = 2**20


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
    """Return the SHA-256 of a file and of the data files beside it, one after the other. Raises BrokenModel."""
    digest = hashlib.sha256()
    for path in (file, *(file.parent / name for name in data_files)):
        try:
            with path.open("rb") as opened:
                while block := opened.read(BLOCK):
                    digest.update(block)
        except OSError as error:
            raise BrokenModel(f"{path} cannot be read ({error.strerror}); copy or export the model again") from None
    return digest.hexdigest()


def check_file(file: Path, expected: str, data_files: Iterable[str] = ()) -> None:
    """Raise BrokenModel unless a file is the one that its card describes."""
    actual = checksum(file, data_files)
    if actual != expected:
        raise BrokenModel(
            f"{file} is not the file its card describes (sha256 {actual[:12]}…, the card says {expected[:12]}…); "
            "copy or export the model again"
        )
