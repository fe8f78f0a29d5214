"""The tasks of similarity training: a head over vectors embedded once, or a whole network over views."""

import copy
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lookalike.embed.card import CARD_FILE, MODEL_FILE
from lookalike.embed.registry import BASE_MODEL, model_folder
from lookalike.errors import BadQuery
from lookalike.similarity import normalize
from lookalike.text import percent
from lookalike.train.config import SimilarityConfig
from lookalike.train.data.augment import RECIPES, Views, views_of
from lookalike.train.data.loader import Loader
from lookalike.train.data.sampling import balanced, shuffled, two_views, with_partners
from lookalike.train.export import export
from lookalike.train.loop import ProgressCallback, TrainingRun, in_batches
from lookalike.train.models.folded_lite import read_weights
from lookalike.train.models.small_cnn import SmallCNN
from lookalike.train.models.tuned import Tuned
from lookalike.train.objectives import make_objective
from lookalike.train.run_folder import RunFolder
from lookalike.train.similarity_dataset import SMALL_CNN, SimilarityData, embed_parts, embed_pixels, resize_to
from lookalike.train.validation import ValidationResult, Validator, changed
from lookalike.types import Card, Embedder, Failure, Preprocessing, Vectors

Rows = NDArray[np.int64]
MEAN, STD = 127.0, 128.0
N_PARITY_SAMPLES = 16  # images that verify the export
EMBED_BATCH = 32  # images
# Tried besides 1: fractions of the way from the base weights to the trained ones.
INTERPOLATION_STEPS = (0.75, 0.5, 0.25)
N_EXAMPLES = 10  # queries in the before-and-after figure


@dataclass(frozen=True, slots=True)
class BeforeAfterExamples:
    """Some queries with the first hit of each model and whether it is correct; those whose hit changed come first."""

    queries: list[NDArray[np.uint8]]
    before: list[tuple[NDArray[np.uint8], bool]]
    after: list[tuple[NDArray[np.uint8], bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """The result of a run.

    `selected`: "trained", or "before" if training gave no better model. `interpolation`: the fraction of the way from
    the base weights to the trained ones where validation is best. `history`: one row of metrics per epoch.
    """

    folder: Path
    metric: str
    before: dict[str, float]
    after: dict[str, float]
    selected: str
    interpolation: float
    examples: "BeforeAfterExamples"
    history: list[dict[str, float]]
    best_epoch: int
    failed: Sequence[Failure]
    parity: str

    def __str__(self) -> str:
        change = " → ".join(f"{metrics[self.metric]:.3f}" for metrics in (self.before, self.after))
        if self.selected == "trained":
            way = (
                "" if self.interpolation == 1 else f", {percent(self.interpolation, 0)} of the way from the base model"
            )
            return f"validation {self.metric} {change}: the trained model is saved{way} ({self.parity})"
        return f"validation {self.metric} {change}: no improvement, so the base model is saved in {self.folder}"


@dataclass(slots=True, kw_only=True)
class SimilarityTask:
    """Similarity training. `prepare` turns a loader's batch into the network's input; `labels`: an integer per row."""

    network: nn.Module
    objective: nn.Module
    config: SimilarityConfig
    data: SimilarityData
    labels: Rows
    validator: Validator
    embed: Callable[[nn.Module, NDArray[Any]], Vectors]
    prepare: Callable[[Tensor], Tensor]
    slow: Sequence[nn.Parameter] = ()

    @property
    def metric(self) -> str:
        return self.config.metric

    def groups(self) -> list[dict[str, Any]]:
        slow = {id(p) for p in self.slow}
        fast = [p for p in self.network.parameters() if p.requires_grad and id(p) not in slow]
        return [{"params": fast, "share": 1.0}, {"params": list(self.slow), "share": self.config.backbone_rate}]

    def plan(self, epoch: int) -> list[Rows]:
        config, train = self.config, self.data.train
        seed = (config.seed, epoch)
        if self.data.kind == "edits":
            plan = two_views(shuffled(len(train), max(2, config.batch // 2), seed))
        else:
            plan = balanced(self.labels[train], config.batch, config.per_label, seed)
        plan = [train[rows] for rows in plan]
        return with_partners(plan, self.data.partners, config.batch, seed) if self.data.partners else plan

    def loss(self, rows: Rows, views: Tensor) -> Tensor:
        vectors = self.network(self.prepare(views))
        with torch.autocast(vectors.device.type, enabled=False):
            loss: Tensor = self.objective(vectors.float(), torch.from_numpy(self.labels[rows]).to(vectors.device))
        return loss

    def validate(self, network: nn.Module) -> dict[str, float]:
        return self.validator.metrics(lambda inputs: self.embed(network, inputs))

    def names(self, rows: Rows) -> Sequence[str]:
        return [self.data.paths[row] for row in rows]


def run_training(
    data: SimilarityData,
    config: SimilarityConfig,
    run: RunFolder,
    embedder: Embedder,
    validator: Validator,
    base: ValidationResult,
    on_progress: ProgressCallback,
) -> TrainingResult:
    """Train, validate again, and write the better of the two models. `base`: the validation before training."""
    torch.manual_seed(config.seed)
    network = make_network(config, embedder)
    task, views = (
        head_task(network, data, config, run, embedder, validator)
        if isinstance(network, Tuned) and config.train == "head"
        else network_task(network, data, config, validator)
    )
    start = copy.deepcopy(task.network.state_dict())
    trained = TrainingRun(task, Loader(views, config.workers), config, run)
    state = trained.train(on_progress)
    network.to("cpu").eval()
    result, interpolation = best_interpolation(task, start if isinstance(network, Tuned) else None)
    before, after = base.metrics, result.metrics
    better = after[config.metric] > before[config.metric]
    parity = (
        export_trained(network, data, config, run, embedder, (before, after))
        if better
        else copy_base_model(config, run)
    )
    return TrainingResult(
        folder=run.path,
        metric=config.metric,
        before=before,
        after=after,
        selected="trained" if better else "before",
        interpolation=interpolation,
        examples=pick_examples(validator, base, result),
        history=state.history,
        best_epoch=state.best_epoch,
        failed=data.images.failed,
        parity=parity,
    )


def best_interpolation(task: SimilarityTask, start: dict[str, Tensor] | None) -> tuple[ValidationResult, float]:
    """Load the best interpolation of the initial and the trained weights into the task's network, by validation.

    Training on a few labels can cost what the base model does well elsewhere: halfway weights are often better for
    unseen labels than the trained ones (Wortsman et al.: WiSE-FT, CVPR 2022, arXiv:2109.01903). `start` None: the
    initial weights are random, so interpolation makes no sense.
    """
    network, metric = task.network, task.config.metric
    end = copy.deepcopy(network.state_dict())
    best, best_step = task.validator.evaluate(lambda inputs: task.embed(network, inputs)), 1.0
    for step in INTERPOLATION_STEPS if start is not None else ():
        assert start is not None
        network.load_state_dict(interpolate(start, end, step))
        answer = task.validator.evaluate(lambda inputs: task.embed(network, inputs))
        if answer.metrics[metric] > best.metrics[metric]:
            best, best_step = answer, step
    network.load_state_dict(end if start is None else interpolate(start, end, best_step))
    return best, best_step


def interpolate(start: dict[str, Tensor], end: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return the weights at the fraction `share` of the way from start to end."""
    if share == 1:
        return end
    return {name: torch.lerp(start[name].to(value), value, share) for name, value in end.items()}


def pick_examples(validator: Validator, before: ValidationResult, after: ValidationResult) -> BeforeAfterExamples:
    """Return the examples of the before-and-after figure."""
    rows = changed(before, after, N_EXAMPLES)
    hits = [
        [(np.asarray(validator.gallery[answer.first_hits[row]]), bool(answer.correct[row])) for row in rows]
        for answer in (before, after)
    ]
    return BeforeAfterExamples([np.asarray(validator.queries[row]) for row in rows], *hits)


def make_network(config: SimilarityConfig, embedder: Embedder) -> Tuned | SmallCNN:
    """Return the network of the settings with its initial weights."""
    if config.model == SMALL_CNN:
        return SmallCNN(dim=config.dim, width=config.width, halvings=max(1, round(float(np.log2(config.side / 7)))))
    network = Tuned(read_weights(model_folder(config.model) / MODEL_FILE), dim=config.dim, hidden=config.hidden)
    if config.train == "head" and config.side != embedder.card.preprocessing.size[0]:
        raise BadQuery(
            f"--train head uses vectors of images at {embedder.card.preprocessing.size[0]} pixels; "
            f"leave --side {config.side} out, or use --train last"
        )
    network.set_trainable(config.train)
    return network


def network_task(
    network: Tuned | SmallCNN, data: SimilarityData, config: SimilarityConfig, validator: Validator
) -> tuple[SimilarityTask, Views]:
    """Return the task of training the whole network, or its last stages, and the views of the cached images."""
    task = SimilarityTask(
        network=network,
        objective=objective_for(data, config, config.dim),
        config=config,
        data=data,
        labels=data.classes,
        validator=validator,
        embed=lambda module, pixels: embed_with_network(module, pixels, config.side),
        prepare=to_input,
        slow=network.groups()[1],
    )
    return task, views_of(data.images.pixels, RECIPES[config.augment], config.side)


def head_task(
    network: Tuned,
    data: SimilarityData,
    config: SimilarityConfig,
    run: RunFolder,
    embedder: Embedder,
    validator: Validator,
) -> tuple[SimilarityTask, Views]:
    """Return the task of training the head over vectors of the images and of a few views of each, embedded once."""
    vectors = view_vectors(data, config, run, embedder)

    def pick(rows: Rows, seed: Any) -> NDArray[Any]:
        which = np.random.default_rng(seed).integers(0, len(vectors), len(rows))
        return np.asarray(vectors[which, rows])

    task = SimilarityTask(
        network=network.head,
        objective=objective_for(data, config, config.dim),
        config=config,
        data=data,
        labels=data.classes,
        validator=validator.on_vectors(lambda pixels: embed_pixels(embedder, pixels, config.workers)),
        embed=embed_vectors,
        prepare=lambda vectors: vectors,
    )
    return task, pick


def objective_for(data: SimilarityData, config: SimilarityConfig, dim: int) -> nn.Module:
    objective: nn.Module = make_objective(config.objective, dim=dim, classes=int(data.classes.max()) + 1)
    return objective


def view_vectors(data: SimilarityData, config: SimilarityConfig, run: RunFolder, embedder: Embedder) -> Vectors:
    """Return (1 + views, n, dim): the vectors of the images, then of each view. They are saved for a resumed run."""
    file = run.cache / "vectors.npy"
    if file.exists():
        return np.asarray(np.load(file))
    pixels = data.images.pixels
    make = views_of(pixels, RECIPES[config.augment], pixels.shape[1])

    def altered(n: int) -> Callable[[slice], NDArray[np.uint8]]:
        return lambda part: make(np.arange(part.start, part.stop), [config.seed, n, part.start])

    rounds = [lambda part: pixels[part], *map(altered, range(config.views))]
    vectors = np.stack([embed_parts(embedder, len(pixels), images_of, config.workers) for images_of in rounds])
    temp = file.with_name("vectors.part.npy")
    np.save(temp, vectors)
    temp.replace(file)  # a run killed while writing must not leave half an array
    return vectors


def to_input(views: Tensor) -> Tensor:
    """Convert uint8 (N, H, W, 3) to float (N, 3, H, W), (x - 127) / 128. The memory layout stays channels-last."""
    return (views.permute(0, 3, 1, 2).float() - MEAN) / STD


@torch.no_grad()
def embed_with_network(network: nn.Module, pixels: NDArray[np.uint8], side: int) -> Vectors:
    """Embed images with a PyTorch network. Returns (n, dim), rows of length 1."""
    device = next(network.parameters()).device
    parts = [
        network(to_input(torch.from_numpy(resize_to(pixels[part], side)).to(device))).float().cpu().numpy()
        for part in in_batches(len(pixels), EMBED_BATCH)
    ]
    return normalize(np.concatenate(parts))


@torch.no_grad()
def embed_vectors(head: nn.Module, vectors: NDArray[np.float32]) -> Vectors:
    """Apply a head to vectors. Returns (n, dim), rows of length 1."""
    device = next(head.parameters()).device
    return normalize(head(torch.from_numpy(vectors).to(device)).float().cpu().numpy())


def export_trained(
    network: Tuned | SmallCNN,
    data: SimilarityData,
    config: SimilarityConfig,
    run: RunFolder,
    embedder: Embedder,
    metrics: tuple[dict[str, float], dict[str, float]],
) -> str:
    """Export the trained network with a parity check. Returns the parity as text."""
    from_scratch = config.model == SMALL_CNN
    before, after = (f"{part[config.metric]:.3f}" for part in metrics)
    card = Card(
        name=run.path.name,
        dim=0,
        preprocessing=Preprocessing(size=(config.side, config.side), mean=(MEAN,) * 3, std=(STD,) * 3),
        sha256="",
        license="yours: trained from random weights" if from_scratch else embedder.card.license,
        source=config.model if from_scratch else f"{embedder.card.name}: {embedder.card.source}",
        description=(
            f"Trained from {data.kind} ({config.objective}, {config.train}) on {len(data.train):,} images; "
            f"validation {config.metric} {before} before, {after} after."
        ),
    )
    rows = np.resize(data.images.rows, N_PARITY_SAMPLES)
    return str(export(network, run.path, card, samples=resize_to(data.images.pixels[rows], config.side)))


def copy_base_model(config: SimilarityConfig, run: RunFolder) -> str:
    """Copy the base model into the run's folder, under the base model's name."""
    source = model_folder(BASE_MODEL if config.model == SMALL_CNN else config.model)
    for name in (MODEL_FILE, CARD_FILE):
        shutil.copyfile(source / name, run.path / name)
    return "unchanged"
