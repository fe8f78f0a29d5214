"""Folders of models as others publish them; each layout is one file, which makes a card and names the files."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from lookalike.embed.card import is_file_name
from lookalike.embed.layouts import open_clip, transformers
from lookalike.embed.layouts.graph_files import data_files, is_data_file
from lookalike.embed.model_files import ModelFiles
from lookalike.errors import BrokenModel

LAYOUTS = (open_clip, transformers)
"""Modules with `matches(folder)`, `read(folder, name, precision)`, `required_graphs(names, precision)`, and the paths
GRAPHS and CONFIG_FILES."""

PRECISIONS = ("fp32", "fp16", "int8", "uint8", "q4", "q4f16", "bnb4")
"""What weights may be kept in. Which of them a repository has is known when its files are read."""


def read_layout(folder: Path, name: str, *, precision: str = "fp32") -> ModelFiles:
    """Return the card and the files of a folder in one of the layouts. Raises BrokenModel."""
    for layout in LAYOUTS:
        if layout.matches(folder):
            files: ModelFiles = layout.read(folder, name, precision)
            check_links(files, folder)
            return files
    raise BrokenModel(
        f"{name} has no ONNX graph of a known layout (tried {', '.join(g for one in LAYOUTS for g in one.GRAPHS)}); "
        "choose a repository that has one"
    )


def is_layout(folder: Path) -> bool:
    """Return whether a folder is in one of the layouts."""
    return any(layout.matches(folder) for layout in LAYOUTS)


def check_links(files: ModelFiles, folder: Path) -> None:
    """Raise BrokenModel if a file of a model is a link that leads out of its folder.

    In the cache of a hub every file is one, to the blobs of the same repository.
    """
    root = folder.resolve()
    root = root.parent.parent if root.parent.name == "snapshots" else root
    for path in files.paths():
        if not path.resolve().is_relative_to(root):
            raise BrokenModel(f"{path} is a link that leads out of {folder}; copy the file there")


def referenced_data(folder: Path, precision: str, name: str) -> list[str]:
    """Return the paths, relative to a folder in a layout, of the data files that its graphs refer to. BrokenModel."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    candidates = (layout.required_graphs(names, precision) for layout in LAYOUTS)
    graphs: list[str] = next(filter(None, candidates), [])
    return [(Path(graph).parent / data).as_posix() for graph in graphs for data in data_files(folder / graph, name)]


def required_files(names: Iterable[str], precision: str) -> list[str]:
    """Return which of a repository's files are needed for one precision, in its layout; [] if it has none of them.

    `names`: all its files. Weights in other precisions, and graphs of both towers in one, are left out.
    """
    listed = list(names)
    for layout in LAYOUTS:
        if graphs := layout.required_graphs(listed, precision):
            data = [name for name in listed if any(_is_data_beside(name, graph) for graph in graphs)]
            return [*graphs, *data, *(name for name in layout.CONFIG_FILES if name in listed)]
    return []


def _is_data_beside(name: str, graph: str) -> bool:
    path = PurePosixPath(name)
    return is_data_file(name, graph) and path.parent == PurePosixPath(graph).parent and is_file_name(path.name)
