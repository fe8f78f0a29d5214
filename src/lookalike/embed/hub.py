"""Models from a model hub: the files of a repository, downloaded once and then read from the hub's cache.

Only the graphs of one precision, their configuration and README.md are downloaded. HF_HUB_OFFLINE=1 keeps to the cache.
"""

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lookalike.embed.layouts import LAYOUTS, PRECISIONS, read_layout, referenced_data, required_files
from lookalike.embed.open_model import open_files
from lookalike.errors import BrokenModel, ModelError, UnknownModel
from lookalike.types import Embedder

CONFIGS = [name for layout in LAYOUTS for name in layout.CONFIG_FILES]


@dataclass(frozen=True, slots=True)
class Repository:
    """What a hub says of a repository at a revision: the commit, its files with their sizes in bytes, and checksums.

    A size is 0 where the hub does not state it. `checksums` (SHA-256) has the large files alone, as the hub does.
    """

    name: str
    revision: str
    commit: str
    sizes: dict[str, int]
    checksums: dict[str, str] = field(default_factory=dict)


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
    """Return the folder of a repository in the hub's cache, None if a file that it needs is missing there."""
    hub = _client()
    try:
        folder = Path(hub.snapshot_download(repository, revision=revision, local_files_only=True))
    except (OSError, ValueError, hub.errors.LocalEntryNotFoundError):
        return None
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    if not required_files(names, "fp32"):
        return None
    data = referenced_data(folder, "fp32", f"hub:{repository}")
    return folder if set(data) <= set(names) else None


def inspect_repository(repository: str, revision: str | None) -> Repository:
    """Ask the hub what a repository contains. Raises UnknownModel."""
    hub = _client()
    try:
        info = hub.HfApi().model_info(repository, revision=revision, files_metadata=True)
    except Exception as error:
        raise _unavailable(repository, error) from error
    files = list(info.siblings or ())
    checksums = {file.rfilename: str(file.lfs["sha256"]) for file in files if getattr(file, "lfs", None)}
    sizes = {file.rfilename: file.size or 0 for file in files}
    return Repository(repository, revision or "main", str(info.sha), sizes, checksums)


def download(
    repository: Repository,
    precision: str,
    folder: Path | None = None,
    *,
    before: Callable[[Sequence[str]], None] = lambda files: None,
) -> Path:
    """Download the files for one precision at the repository's commit; into the hub's cache, or into `folder`.

    What was downloaded into it before is not downloaded again. `before` gets the files that follow: first the graphs,
    then the data files that these refer to and whose names told nothing. Returns the folder. Raises BrokenModel if the
    repository has no usable weights, UnknownModel if they cannot be downloaded.
    """
    files = needed(repository, precision)
    before(files)
    folder = _fetch(repository, files, folder)
    missing = [name for name in referenced_data(folder, precision, f"hub:{repository.name}") if name not in files]
    if absent := [name for name in missing if name not in repository.sizes]:
        raise BrokenModel(
            f"hub:{repository.name} lacks {absent[0]}, which its graph refers to; choose another repository"
        )
    if missing:
        before(missing)
        _fetch(repository, missing, folder)
    return folder


def _fetch(repository: Repository, files: Sequence[str], folder: Path | None) -> Path:
    hub = _client()
    # The cache of the client remembers which commit a revision was, if that is what it was asked for.
    revision = repository.revision if folder is None else repository.commit
    path = Path()
    try:
        for name in files:
            path = Path(hub.hf_hub_download(repository.name, name, revision=revision, local_dir=folder))
    except Exception as error:
        raise _unavailable(repository.name, error) from error
    return folder or path.parents[files[-1].count("/")]


def needed(repository: Repository, precision: str) -> list[str]:
    """Return the files of a repository that one precision needs. Raises BrokenModel if it has no weights in it."""
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
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return ModelError(f"the disk is full, so {name} was not downloaded; free some space, then run this again")
    reason = next(iter(str(error).splitlines()), type(error).__name__)[:200]
    return UnknownModel(
        f"{name} could not be downloaded ({reason}); check the name and the network, and run this again, which "
        "continues; or download it once and then set HF_HUB_OFFLINE=1"
    )
