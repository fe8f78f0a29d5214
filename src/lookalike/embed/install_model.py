"""Install a published model: from a hub, by its preset or its repository, or from a folder in a known layout.

Its files become model.onnx, text_model.onnx, tokenizer.json and their data files beside a card, in a folder of the
user's models. A download goes into a hidden folder beside, which remains when it is interrupted: the next run
continues. The model is tried on two images and two texts before its folder gets its name; then it needs no network.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Thread
from typing import Self

from lookalike.embed.add_model import check_embedder, check_texts, download_folder, new_folder
from lookalike.embed.card import CARD_FILE, MODEL_FILE, TEXT_FOLDER, TEXT_MODEL_FILE, TOKENIZER_FILE, card_to_json
from lookalike.embed.hub import Repository, download, inspect_repository, needed
from lookalike.embed.layouts import PRECISIONS, check_links, is_layout, read_layout
from lookalike.embed.model_files import ModelFiles, check_file, checksum, files_in, text_folder
from lookalike.embed.open_model import open_files
from lookalike.embed.presets import PRESETS, Preset
from lookalike.embed.registry import user_models_folder
from lookalike.errors import BadQuery, BrokenModel, ModelError, UnknownModel, nearest
from lookalike.text import expanded
from lookalike.types import Card, TextEmbedder

MEGABYTE = 10**6
SPARE_BYTES = 64 * MEGABYTE
"""What the disk must have left beside the download."""
_POLL_SECONDS = 0.5
_OWN_NAMES = {MODEL_FILE, CARD_FILE, TOKENIZER_FILE, TEXT_MODEL_FILE, TEXT_FOLDER}
_RETRY = "free some space, or set LOOKALIKE_MODELS to a folder on another disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadListener:
    """What hears of a download: `notice`, a sentence before it; `progress`, its bytes and their total, during it."""

    notice: Callable[[str], None] = lambda sentence: None
    progress: Callable[[int, int], None] = lambda done, total: None


SILENT = DownloadListener()


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSource:
    """A repository of a hub at a revision, "" for its newest, and what is known of it beforehand.

    `sha256`: by the path of a file. `preset`: the row of the repository, whatever its revision.
    """

    repository: str
    revision: str = ""
    precisions: tuple[str, ...] = PRECISIONS
    sha256: Mapping[str, str] = field(default_factory=dict)
    preset: Preset | None = None

    @classmethod
    def of_preset(cls, name: str) -> Self:
        """Return the source of a preset. Raises UnknownModel."""
        if name not in PRESETS:
            raise UnknownModel(f"no model is known by the name {name!r}; {nearest(name, PRESETS)}")
        row = PRESETS[name]
        return cls(
            repository=row.repository,
            revision=row.revision,
            precisions=row.precisions,
            sha256=row.sha256,
            preset=row,
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the source that hub:owner/name[@revision] names. Raises BadQuery."""
        repository, _, revision = text.removeprefix("hub:").partition("@")
        owner, _, name = repository.partition("/")
        if not owner or not name or "/" in name:
            raise BadQuery(f"{text!r} is no repository; write hub:owner/name or hub:owner/name@revision")
        preset = next((row for row in PRESETS.values() if row.repository == repository), None)
        return cls(repository=repository, revision=revision, preset=preset)

    @property
    def label(self) -> str:
        """How errors call it."""
        return f"hub:{self.repository}"

    @property
    def model_name(self) -> str:
        """What the model is called if nothing else is chosen: the repository without its owner."""
        return self.repository.partition("/")[2]


def install_from_hub(
    name: str,
    source: HubSource,
    *,
    precision: str = "fp32",
    overwrite: bool = False,
    listener: DownloadListener = SILENT,
) -> Card:
    """Download a model once and add it to the user's models. Returns its card.

    Raises BadQuery for a name or precision that cannot be used, UnknownModel if it cannot be downloaded, BrokenModel
    if it is not what the preset says or no model of images, ModelError without the space or the libraries it needs.
    """
    folder = new_folder(name, overwrite=overwrite)
    _check_precision(precision, source.precisions)
    repository = inspect_repository(source.repository, source.revision or None)
    required = needed(repository, precision)
    _check_published(repository, required, source)
    if any(file.endswith(TOKENIZER_FILE) for file in required):
        _require_tokenizers()
    temp = download_folder(name)
    _begin(repository, temp)
    _fetch(repository, temp, precision=precision, listener=listener)
    _check_downloaded(repository, temp, source)
    try:
        files = read_layout(temp, source.label, precision=precision)
        model = _described(files, name, source=source, repository=repository, precision=precision)
        _put(model, folder, lambda path, target: path.replace(target))
    except BrokenModel as error:
        shutil.rmtree(temp, ignore_errors=True)  # the next run would find the same
        if precision == PRECISIONS[0]:
            raise
        raise BrokenModel(f"{error}, or choose another precision than {precision}") from error
    shutil.rmtree(temp, ignore_errors=True)
    return model.card


def install_from_folder(name: str, source: Path, *, precision: str = "fp32", overwrite: bool = False) -> Card:
    """Copy a model from a folder in one of the layouts, or with a card, into the user's models. Returns its card.

    Raises BadQuery for a name that cannot be used, BrokenModel for a folder that is no model of images.
    """
    folder = new_folder(name, overwrite=overwrite)
    source = expanded(source)
    _check_precision(precision, PRECISIONS)
    if (source / CARD_FILE).is_file():
        files = files_in(source)
        check_links(files, source)
        _check_card(files)
        card = replace(files.card, name=name)
    elif is_layout(source):
        files = read_layout(source, f"the model in {source}", precision=precision)
        card = replace(files.card, name=name, source=source.name)
    else:
        raise BrokenModel(
            f"{source} is no folder of a model; one has onnx/vision_model.onnx, onnx/model.onnx or visual/model.onnx "
            f"with their configuration, or {MODEL_FILE} and {CARD_FILE}"
        )
    _require_space(sum(path.stat().st_size for path in files.paths()), name)
    _put(replace(files, card=card), folder, shutil.copyfile)
    return card


def _described(
    files: ModelFiles, name: str, *, source: HubSource, repository: Repository, precision: str
) -> ModelFiles:
    """Return the files of a download with the card that the model will have."""
    card, preset = files.card, source.preset
    if preset is not None and card.text is not None and preset.scale is not None and preset.bias is not None:
        card = replace(card, text=replace(card.text, scale=preset.scale, bias=preset.bias))
    card = replace(
        card,
        name=name,
        source=f"hub:{repository.name}@{repository.commit}" + (f" ({precision})" if precision != "fp32" else ""),
        license=preset.license if preset is not None and card.license == "unknown" else card.license,
        description=preset.purpose if preset is not None else card.description,
    )
    return replace(files, card=card)


def _check_precision(precision: str, allowed: Sequence[str]) -> None:
    if precision not in allowed:
        raise BadQuery(f"{precision!r} is no precision of this model; its weights are in {', '.join(allowed)}")


def _require_tokenizers() -> None:
    try:
        import tokenizers  # noqa: F401
    except ImportError:
        raise ModelError(
            "a model with words needs the tokenizers library; install it with: pip install 'lookalike[text]'"
        ) from None


def _check_published(repository: Repository, files: Sequence[str], source: HubSource) -> None:
    """Raise BrokenModel, before anything is downloaded, if the hub has another file than the one that is known."""
    for file in files:
        expected, actual = source.sha256.get(file), repository.checksums.get(file)
        if expected and actual and expected != actual:
            raise BrokenModel(
                f"{source.label} has changed: its {file} is not the file that is known (sha256 {actual[:12]}…, known "
                f"{expected[:12]}…); if you trust it, name a revision: --from {source.label}@REVISION"
            )


def _check_downloaded(repository: Repository, folder: Path, source: HubSource) -> None:
    """Delete a file whose size or checksum is not the published one. Raises BrokenModel if there was one."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in repository.sizes or not path.is_file():
            continue
        size = repository.sizes[name]
        expected = source.sha256.get(name) or repository.checksums.get(name)
        actual_size = path.stat().st_size
        if (size and actual_size != size) or (expected and checksum(path) != expected):
            path.unlink()
            raise BrokenModel(
                f"{name} of {source.label} is not what was published: {actual_size:,} bytes of {size:,}, or a wrong "
                "checksum; it was deleted, and the next run downloads it again"
            )


def _check_card(files: ModelFiles) -> None:
    """Raise BrokenModel unless the files are those of the card."""
    card, text = files.card, files.card.text
    check_file(files.model, card.sha256, card.data_files)
    if text is not None and files.text_model is not None and files.tokenizer is not None:
        check_file(files.text_model, text.sha256, text.data_files)
        check_file(files.tokenizer, text.tokenizer_sha256)


def _begin(repository: Repository, temp: Path) -> None:
    """Create the folder of a download, empty if it has one of another repository or commit."""
    marker, commit = temp / ".commit", f"{repository.name}@{repository.commit}"
    try:
        if temp.exists() and (not marker.is_file() or marker.read_text() != commit):
            shutil.rmtree(temp)
        temp.mkdir(parents=True, exist_ok=True)
        marker.write_text(commit)
    except OSError as error:
        raise ModelError(f"{temp} cannot be written ({error.strerror}); {_RETRY}") from error


def _fetch(repository: Repository, temp: Path, *, precision: str, listener: DownloadListener) -> None:
    total = [0]

    def announce(files: Sequence[str]) -> None:
        total[0] += sum(repository.sizes[name] for name in files)
        remaining = max(0, total[0] - _bytes_in(temp))
        _require_space(remaining, f"hub:{repository.name}")
        rest = "" if total[0] - remaining < MEGABYTE else f", {remaining / MEGABYTE:,.0f} MB of it still to come"
        listener.notice(
            f"hub:{repository.name}@{repository.commit[:12]}: {len(files)} files, {total[0] / MEGABYTE:,.0f} MB{rest}"
        )

    with _reported(temp, total, listener.progress), _no_bars():
        download(repository, precision, temp, before=announce)


@contextmanager
def _reported(temp: Path, total: Sequence[int], progress: Callable[[int, int], None]) -> Iterator[None]:
    """Report the bytes that are there, twice a second, while the block runs."""
    done = Event()

    def report() -> None:
        while not done.wait(_POLL_SECONDS):
            if total[0]:
                progress(min(_bytes_in(temp), total[0]), total[0])

    thread = Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def _no_bars() -> Iterator[None]:
    """Silence the progress bars of the hub's client, which are one for each file."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    enabled = not are_progress_bars_disabled()
    if enabled:
        disable_progress_bars()
    try:
        yield
    finally:
        if enabled:
            enable_progress_bars()


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # renamed meanwhile
            total += path.stat().st_size if path.is_file() else 0
    return total


def _require_space(size: int, what: str) -> None:
    """Raise ModelError unless the disk of the user's models has room for `size` bytes."""
    folder = user_models_folder()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < size + SPARE_BYTES:
        raise ModelError(
            f"{what} needs {size / MEGABYTE:,.0f} MB, and the disk of {user_models_folder()} has "
            f"{free / MEGABYTE:,.0f} MB left; {_RETRY}"
        )


def _put(files: ModelFiles, folder: Path, transfer: Callable[[Path, Path], object]) -> None:
    """Try a model where it lies, put its files into a folder of a temporary name, and rename that."""
    temp = folder.with_name(f".{folder.name}.{os.getpid()}")
    targets = _targets(files, temp)
    _try(files)
    try:
        temp.mkdir(parents=True)
        for path, target in targets:
            target.parent.mkdir(exist_ok=True)
            transfer(path, target)
        (temp / CARD_FILE).write_text(f"{card_to_json(files.card)}\n", encoding="utf-8")
        _rename(temp, folder)
    except OSError as error:
        raise ModelError(f"{folder} cannot be written ({error.strerror}); {_RETRY}") from error
    finally:
        shutil.rmtree(temp, ignore_errors=True)


def _targets(files: ModelFiles, folder: Path) -> list[tuple[Path, Path]]:
    """Return the files with the paths they get. Data files keep their names, since the graphs refer to them."""
    card, text = files.card, files.card.text
    if taken := _OWN_NAMES.intersection((*card.data_files, *(text.data_files if text is not None else ()))):
        raise BrokenModel(f"{card.name} has a data file called {min(taken)}, the name of another file; export it again")
    pairs = [(files.model, folder / MODEL_FILE)]
    pairs += [(files.model.parent / name, folder / name) for name in card.data_files]
    if text is not None and files.text_model is not None and files.tokenizer is not None:
        home = text_folder(folder, card)
        pairs += [(files.text_model, home / TEXT_MODEL_FILE), (files.tokenizer, folder / TOKENIZER_FILE)]
        pairs += [(files.text_model.parent / name, home / name) for name in text.data_files]
    return pairs


def _try(files: ModelFiles) -> None:
    """Embed two images, and two texts if the model has words. Raises BrokenModel, ModelError."""
    embedder = open_files(files)
    check_embedder(embedder)
    if isinstance(embedder, TextEmbedder):
        check_texts(embedder)


def _rename(temp: Path, folder: Path) -> None:
    old = folder.with_name(f".{folder.name}.old.{os.getpid()}")
    if folder.exists():
        folder.rename(old)
    temp.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
