"""Models from a model hub: the files of a repository, downloaded once and then read from the hub's cache.

Only the graphs of one precision, their configuration and README.md are downloaded. HF_HUB_OFFLINE=1 keeps to the cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookalike.embed.layouts import LAYOUTS, read_layout, required_files
from lookalike.embed.open_model import open_files
from lookalike.errors import BrokenModel, ModelError, UnknownModel
from lookalike.types import Embedder

CONFIGS = [name for layout in LAYOUTS for name in layout.CONFIG_FILES]


@dataclass(frozen=True, slots=True)
class Repository:
    """What a hub says of a repository: the commit, and its files with their sizes in bytes."""

    name: str
    commit: str
    sizes: dict[str, int]


def hub_embedder(name: str, *, threads: int = 1, device: str | None = None) -> Embedder:
    """Open owner/name[@revision], downloading it unless it is in the hub's cache."""
    repository, _, revision = name.partition("@")
    folder = cached(repository, revision or None)
    if folder is None:
        folder = download(inspect_repository(repository, revision or None), "fp32")
    return embedder_of_repository(folder, f"hub:{name}", threads=threads, device=device)


def embedder_of_repository(folder: Path, name: str, *, threads: int = 1, device: str | None = None) -> Embedder:
    """Return an embedder from a folder in the layout of a hub repository. Raises BrokenModel."""
    return open_files(read_layout(folder, name), threads=threads, device=device)


def cached(repository: str, revision: str | None) -> Path | None:
    """Return the folder of a repository in the hub's cache, None if a graph of it is missing there."""
    hub = _client()
    try:
        folder = Path(hub.snapshot_download(repository, revision=revision, local_files_only=True))
    except (OSError, ValueError, hub.errors.LocalEntryNotFoundError):
        return None
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return folder if required_files(names, "fp32") else None


def inspect_repository(repository: str, revision: str | None) -> Repository:
    """Ask the hub what a repository contains. Raises UnknownModel."""
    hub = _client()
    try:
        info = hub.HfApi().model_info(repository, revision=revision, files_metadata=True)
    except Exception as error:
        raise _unavailable(repository, error) from error
    return Repository(repository, str(info.sha), {file.rfilename: file.size or 0 for file in info.siblings or ()})


def download(repository: Repository, precision: str, folder: Path | None = None) -> Path:
    """Download the files for one precision at the repository's commit; into the hub's cache, or into `folder`.

    The hub's client checks sizes and checksums, and continues a download that was interrupted. Returns the folder.
    Raises BrokenModel if the repository has no usable weights, UnknownModel if they cannot be downloaded.
    """
    hub = _client()
    files = needed(repository, precision)
    try:
        return Path(
            hub.snapshot_download(repository.name, revision=repository.commit, allow_patterns=files, local_dir=folder)
        )
    except Exception as error:
        raise _unavailable(repository.name, error) from error


def needed(repository: Repository, precision: str) -> list[str]:
    """Return the files of a repository that one precision needs. Raises BrokenModel if it has no weights in it."""
    from lookalike.embed.layouts import PRECISIONS

    if files := required_files(repository.sizes, precision):
        return files
    others = [one for one in PRECISIONS if required_files(repository.sizes, one)]
    if others:
        raise BrokenModel(f"hub:{repository.name} has no weights in {precision}; it has {', '.join(others)}")
    graphs = ", ".join(graph for layout in LAYOUTS for graph in layout.GRAPHS)
    raise BrokenModel(f"hub:{repository.name} has no ONNX graph (tried {graphs}); choose a repository that has one")


def _client() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError:
        raise ModelError(
            "models from a hub need huggingface_hub; install it with: pip install 'lookalike[hub]'"
        ) from None
    return huggingface_hub


def _unavailable(repository: str, error: Exception) -> ModelError:
    """Return what a person can do about a failed request to the hub."""
    errors = _client().errors
    name = f"hub:{repository}"
    # A gated repository is one that is not found without a login.
    if isinstance(error, errors.GatedRepoError):
        return UnknownModel(
            f"{name} is given only to those who accept its license; accept it on its page, then set HF_TOKEN"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return UnknownModel(f"{name} has no such revision; leave @REVISION out for the newest")
    if isinstance(error, errors.RepositoryNotFoundError | errors.HFValidationError):
        return UnknownModel(f"{name} does not exist, or is private; check its name, or set HF_TOKEN")
    reason = next(iter(str(error).splitlines()), type(error).__name__)[:200]
    return UnknownModel(
        f"{name} could not be downloaded ({reason}); check the name and the network, "
        "or download it once and then set HF_HUB_OFFLINE=1"
    )


def known_sizes(repository: Repository, files: Sequence[str]) -> int:
    """Return the bytes of some files of a repository."""
    return sum(repository.sizes.get(name, 0) for name in files)
