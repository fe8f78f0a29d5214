"""Train an embedder on labels, on pairs, or on edits of the images alone.

split ─ labels ─ image cache ─ validate the base model
      ─ head: vectors embedded once, a head over them     ┐
      ─ last, all: views ─ network ─ objective            ┴ TrainingRun ─ validate again ─ write the better model
"""

from pathlib import Path

from lookalike.embed import BASE_MODEL, get_embedder
from lookalike.train.config import SimilarityConfig
from lookalike.train.loop import ProgressCallback, no_progress
from lookalike.train.run_folder import open_run
from lookalike.train.similarity_dataset import (
    SMALL_CNN,
    Log,
    Progress,
    embed_pixels,
    labels_of,
    load_data,
    log_data,
    make_validator,
    warn_missing,
    with_defaults,
)
from lookalike.train.similarity_training import TrainingResult, run_training
from lookalike.train.split import Split


def train_similarity(
    split: Split,
    config: SimilarityConfig,
    folder: Path,
    *,
    overwrite: bool = False,
    on_progress: ProgressCallback = no_progress,
    log: Log = lambda _line: None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train in `folder`, validate before and after, and write the better model there as model.onnx and card.json.

    The same call resumes a killed run. `log` takes lines of text, `progress` (done, total) while images are read.
    Raises SourceError, BadQuery, BrokenModel, TrainingFailed.
    """
    embedder = get_embedder(BASE_MODEL if config.model == SMALL_CNN else config.model)
    config = with_defaults(config, embedder)
    labels, partners, kind = labels_of(split, config)
    run, resumed = open_run(folder, config, split, overwrite=overwrite)
    if resumed:
        log(f"resuming the run in {folder}")
    warn_missing(split, log)
    data = load_data(split, labels, partners, kind, config, run, progress)
    log_data(data, log)
    validator = make_validator(data, config)
    before = validator.evaluate(lambda inputs: embed_pixels(embedder, inputs, config.workers))
    log("before training: " + ", ".join(f"{name} {value:.3f}" for name, value in before.metrics.items()))
    result = run_training(data, config, run, embedder, validator, before, on_progress)
    run.clean()
    return result
