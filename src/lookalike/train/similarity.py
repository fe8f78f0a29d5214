"""Teach an embedder what alike means: from labels, from pairs, or from nothing but the pictures and their edits.

split ─ labels ─ cache ─ judge: the model of before
      ─ head: vectors embedded once, a head over them     ┐
      ─ last, all: views ─ network ─ objective            ┴ Run ─ judge: after ─ the better one is written
"""

from pathlib import Path

from lookalike.embed import DEFAULT_MODEL, get_embedder
from lookalike.train.config import SimilarityConfig
from lookalike.train.loop import Tell, quiet
from lookalike.train.run_folder import open_run
from lookalike.train.similarity_dataset import (
    SMALL,
    Progress,
    Say,
    embed_pixels,
    gather,
    judge_of,
    labels_of,
    settled,
    tell_gone,
    told,
)
from lookalike.train.similarity_training import Taught, teach
from lookalike.train.split import Split


def train_similarity(
    split: Split,
    config: SimilarityConfig,
    folder: Path,
    *,
    overwrite: bool = False,
    tell: Tell = quiet,
    say: Say = lambda _line: None,
    progress: Progress | None = None,
) -> Taught:
    """Train in `folder`, judge before and after, and leave the better model there as model.onnx and card.json.

    The same call goes on with a run that was killed. Raises SourceError, BadQuery, BrokenModel, TrainingFailed.
    """
    embedder = get_embedder(DEFAULT_MODEL if config.model == SMALL else config.model)
    config = settled(config, embedder)
    labels, partners, kind = labels_of(split, config)
    run, resumed = open_run(folder, config, split, overwrite=overwrite)
    if resumed:
        say(f"going on with the run in {folder}")
    tell_gone(split, say)
    data = gather(split, labels, partners, kind, config, run, progress)
    told(data, say)
    judge = judge_of(data, config)
    before = judge.answer(lambda inputs: embed_pixels(embedder, inputs, config.workers))
    say("before training: " + ", ".join(f"{name} {value:.3f}" for name, value in before.figures.items()))
    taught = teach(data, config, run, embedder, judge, before, tell)
    run.clean()
    return taught
