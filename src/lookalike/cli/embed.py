"""lookalike embed: write the vectors of files to an array."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.options import DeviceOption, JsonOption
from lookalike.cli.output import ProgressLine, log, print_json, print_row
from lookalike.cli.output_files import ends_in
from lookalike.errors import LookalikeError, UnreadableImage
from lookalike.text import counted

if TYPE_CHECKING:
    from lookalike.types import Embedder, Vectors


def embed(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Images, folders, globs, manifests or archives.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.npy",
            callback=ends_in(".npy", ".npz"),
            help="Where the (n, dim) float32 array goes; .npz adds the paths.",
        ),
    ],
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A model's name or folder, or hub:owner/name.")
    ] = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Write the vectors of images to a NumPy file and print the path of each row. Images that fail have no row."""
    from lookalike.embed import DEFAULT_MODEL, get_embedder

    paths, vectors = _embed_all(files, get_embedder(model or DEFAULT_MODEL))
    if not paths:
        raise UnreadableImage("none of these files could be embedded; see the reasons above")
    _write(output, paths, vectors)
    for row, path in enumerate(paths):
        if json:
            print_json({"row": row, "path": path})
        else:
            print_row(path)
    log(f"{counted(len(paths), 'vector')} of {vectors.shape[1]} numbers written to {output}")


def _embed_all(files: list[str], embedder: "Embedder") -> "tuple[list[str], Vectors]":
    """Return the paths, in listing order, and their vectors; files that fail are reported and skipped."""
    import numpy as np

    from lookalike.image import SourceFile, find
    from lookalike.indexing.file_job import FileJob
    from lookalike.indexing.pipeline import batch_size, default_workers, parallel
    from lookalike.indexing.worker import EmbeddedFile, FileWorker

    listed = list(find(files))
    for item in listed:
        if not isinstance(item, SourceFile):
            log(f"skipped {item.path}: {item.reason}")
    jobs = [FileJob(item, str(n)) for n, item in enumerate(i for i in listed if isinstance(i, SourceFile))]
    rows: dict[int, Vectors] = {}
    with ProgressLine("images") as progress, FileWorker(embedder) as worker:
        done, workers = 0, default_workers()
        batch = batch_size(len(jobs), workers, worker.batch)
        for outcomes in parallel(jobs, worker, workers=workers, batch=batch):
            done += len(outcomes)
            progress(done, len(jobs))
            for outcome in outcomes:
                if isinstance(outcome, EmbeddedFile):
                    rows[int(outcome.job.id)] = outcome.vectors
                else:
                    log(f"skipped {outcome.job.file.path}: {getattr(outcome, 'reason', 'unknown')}")
    order = sorted(rows)
    vectors = np.concatenate([rows[n] for n in order]) if order else np.zeros((0, embedder.card.dim), np.float32)
    return [jobs[n].file.path for n in order], vectors


def _write(output: Path, paths: list[str], vectors: "Vectors") -> None:
    import numpy as np

    try:
        with output.open("wb") as file:  # by its name alone, NumPy would add .npy to x.NPY
            if output.suffix.lower() == ".npz":
                np.savez(file, vectors=vectors, paths=np.array(paths))
            else:
                np.save(file, vectors)
    except OSError as error:
        raise LookalikeError(f"{output} cannot be written ({error.strerror}); choose another path with -o") from None
