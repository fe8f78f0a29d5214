"""The two tasks of similarity training: a head over vectors embedded once, and a whole network over views."""

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
from lookalike.embed.registry import DEFAULT_MODEL, model_folder
from lookalike.errors import BadQuery
from lookalike.similarity import normalize
from lookalike.train.config import SimilarityConfig
from lookalike.train.data.augment import RECIPES, Views, views_of
from lookalike.train.data.loader import Loader
from lookalike.train.data.sampling import balanced, shuffled, twice, with_partners
from lookalike.train.export import export
from lookalike.train.loop import Run, Tell, in_batches
from lookalike.train.models.folded_lite import read_weights
from lookalike.train.models.small_cnn import SmallCNN
from lookalike.train.models.tuned import Tuned
from lookalike.train.objectives import make_objective
from lookalike.train.run_folder import RunFolder
from lookalike.train.similarity_dataset import SMALL, Data, embed_parts, embed_pixels, fitted
from lookalike.train.validation import Answer, Judge, changed
from lookalike.types import Card, Embedder, Failure, Preprocessing, Vectors

Rows = NDArray[np.int64]
MEAN, STD = 127.0, 128.0
SAMPLES = 16  # pictures that prove the export
JUDGED = 32  # pictures at a time
SHARES = (0.75, 0.5, 0.25)  # of the way from the weights of before to the trained ones that are tried beside 1
SHOWN = 10  # queries of the figure of before and after


@dataclass(frozen=True, slots=True)
class Examples:
    """Some queries, those whose first hit changed foremost, with each model's first hit and whether it is right."""

    queries: list[NDArray[np.uint8]]
    before: list[tuple[NDArray[np.uint8], bool]]
    after: list[tuple[NDArray[np.uint8], bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """How a run ended. `kept`: "trained", or "before" where training made it no better. `share`: of the way from the
    weights of before to the trained ones, where validation is best. `history`: a row an epoch."""

    folder: Path
    metric: str
    before: dict[str, float]
    after: dict[str, float]
    kept: str
    share: float
    examples: "Examples"
    history: list[dict[str, float]]
    best_epoch: int
    failed: Sequence[Failure]
    parity: str

    def __str__(self) -> str:
        change = " → ".join(f"{figures[self.metric]:.3f}" for figures in (self.before, self.after))
        if self.kept == "trained":
            way = "" if self.share == 1 else f", {self.share:.0%} of the way from the model of before"
            return f"validation {self.metric} {change}: the trained model is kept{way} ({self.parity})"
        return f"validation {self.metric} {change}: no better, so {self.folder} holds the model of before"


@dataclass(slots=True, kw_only=True)
class SimilarityTask:
    """What a Run trains. `prepare` turns a loader's batch into what the network takes; `alike`: a number a row."""

    network: nn.Module
    objective: nn.Module
    config: SimilarityConfig
    data: Data
    alike: Rows
    judge: Judge
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
            plan = twice(shuffled(len(train), max(2, config.batch // 2), seed))
        else:
            plan = balanced(self.alike[train], config.batch, config.per_label, seed)
        plan = [train[rows] for rows in plan]
        return with_partners(plan, self.data.partners, config.batch, seed) if self.data.partners else plan

    def loss(self, rows: Rows, views: Tensor) -> Tensor:
        vectors = self.network(self.prepare(views))
        with torch.autocast(vectors.device.type, enabled=False):
            loss: Tensor = self.objective(vectors.float(), torch.from_numpy(self.alike[rows]).to(vectors.device))
        return loss

    def validate(self, network: nn.Module) -> dict[str, float]:
        return self.judge.figures(lambda inputs: self.embed(network, inputs))

    def names(self, rows: Rows) -> Sequence[str]:
        return [self.data.paths[row] for row in rows]


def teach(
    data: Data,
    config: SimilarityConfig,
    run: RunFolder,
    embedder: Embedder,
    judge: Judge,
    found: Answer,
    tell: Tell,
) -> Taught:
    """Train, judge again, and write the better of the two models."""
    torch.manual_seed(config.seed)
    network = make_network(config, embedder)
    task, views = (
        head_task(network, data, config, run, embedder, judge)
        if isinstance(network, Tuned) and config.train == "head"
        else network_task(network, data, config, judge)
    )
    start = copy.deepcopy(task.network.state_dict())
    trained = Run(task, Loader(views, config.workers), config, run)
    place = trained.train(tell)
    network.to("cpu").eval()
    before, (answered, share) = found.figures, best_share(task, start if isinstance(network, Tuned) else None)
    after = answered.figures
    better = after[config.metric] > before[config.metric]
    parity = (
        write_trained(network, data, config, run, embedder, (before, after)) if better else keep_before(config, run)
    )
    return Taught(
        folder=run.path,
        metric=config.metric,
        before=before,
        after=after,
        kept="trained" if better else "before",
        share=share,
        examples=examples_of(judge, found, answered),
        history=place.history,
        best_epoch=place.best_epoch,
        failed=data.pictures.failed,
        parity=parity,
    )


def best_share(task: SimilarityTask, start: dict[str, Tensor] | None) -> tuple[Answer, float]:
    """Leave in the task's network the best mixture of where it started and where training ended, by validation.

    What was learnt of a few labels must not cost what the network knew of everything else: half of the way often
    serves labels never seen better than all of it (Wortsman et al.: WiSE-FT, CVPR 2022, arXiv:2109.01903). `start`
    None: it started from random weights, and half of the way leads nowhere.
    """
    network, metric = task.network, task.config.metric
    end = copy.deepcopy(network.state_dict())
    best, chosen = task.judge.answer(lambda inputs: task.embed(network, inputs)), 1.0
    for share in SHARES if start is not None else ():
        assert start is not None
        network.load_state_dict(mixed(start, end, share))
        answer = task.judge.answer(lambda inputs: task.embed(network, inputs))
        if answer.figures[metric] > best.figures[metric]:
            best, chosen = answer, share
    network.load_state_dict(end if start is None else mixed(start, end, chosen))
    return best, chosen


def mixed(start: dict[str, Tensor], end: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights `share` of the way from start to end."""
    if share == 1:
        return end
    return {name: torch.lerp(start[name].to(value), value, share) for name, value in end.items()}


def examples_of(judge: Judge, before: Answer, after: Answer) -> Examples:
    """What a person looks at."""
    rows = changed(before, after, SHOWN)
    hits = [
        [(np.asarray(judge.gallery[answer.first[row]]), bool(answer.right[row])) for row in rows]
        for answer in (before, after)
    ]
    return Examples([np.asarray(judge.queries[row]) for row in rows], *hits)


def make_network(config: SimilarityConfig, embedder: Embedder) -> Tuned | SmallCNN:
    """The network that the settings ask for, at its start."""
    if config.model == SMALL:
        return SmallCNN(dim=config.dim, width=config.width, halvings=max(1, round(float(np.log2(config.side / 7)))))
    network = Tuned(read_weights(model_folder(config.model) / MODEL_FILE), dim=config.dim, hidden=config.hidden)
    if config.train == "head" and config.side != embedder.card.preprocessing.size[0]:
        raise BadQuery(
            f"a head alone is trained over vectors of pictures at {embedder.card.preprocessing.size[0]} pixels; "
            f"leave --side {config.side} out, or train more with --train last"
        )
    network.learn(config.train)
    return network


def network_task(
    network: Tuned | SmallCNN, data: Data, config: SimilarityConfig, judge: Judge
) -> tuple[SimilarityTask, Views]:
    """The whole network, or its last stages, over views of the cached pictures."""
    task = SimilarityTask(
        network=network,
        objective=objective_of(data, config, config.dim),
        config=config,
        data=data,
        alike=data.classes,
        judge=judge,
        embed=lambda module, pixels: embed_by(module, pixels, config.side),
        prepare=to_input,
        slow=network.groups()[1],
    )
    return task, views_of(data.pictures.pixels, RECIPES[config.augment], config.side)


def head_task(
    network: Tuned, data: Data, config: SimilarityConfig, run: RunFolder, embedder: Embedder, judge: Judge
) -> tuple[SimilarityTask, Views]:
    """The head alone, over vectors of the pictures and of a few views of each, embedded once."""
    vectors = embedded_once(data, config, run, embedder)

    def pick(rows: Rows, seed: Any) -> NDArray[Any]:
        which = np.random.default_rng(seed).integers(0, len(vectors), len(rows))
        return np.asarray(vectors[which, rows])

    task = SimilarityTask(
        network=network.head,
        objective=objective_of(data, config, config.dim),
        config=config,
        data=data,
        alike=data.classes,
        judge=judge.seen_by(lambda pixels: embed_pixels(embedder, pixels, config.workers)),
        embed=embed_vectors,
        prepare=lambda vectors: vectors,
    )
    return task, pick


def objective_of(data: Data, config: SimilarityConfig, dim: int) -> nn.Module:
    made: nn.Module = make_objective(config.objective, dim=dim, classes=int(data.classes.max()) + 1)
    return made


def embedded_once(data: Data, config: SimilarityConfig, run: RunFolder, embedder: Embedder) -> Vectors:
    """(1 + views, n, dim): the pictures' vectors, then those of each view; kept beside the cache for a resumed run."""
    file = run.cache / "vectors.npy"
    if file.exists():
        return np.asarray(np.load(file))
    pixels = data.pictures.pixels
    make = views_of(pixels, RECIPES[config.augment], pixels.shape[1])

    def altered(n: int) -> Callable[[slice], NDArray[np.uint8]]:
        return lambda part: make(np.arange(part.start, part.stop), [config.seed, n, part.start])

    rounds = [lambda part: pixels[part], *map(altered, range(config.views))]
    vectors = np.stack([embed_parts(embedder, len(pixels), pictures, config.workers) for pictures in rounds])
    scratch = file.with_name("vectors.part.npy")
    np.save(scratch, vectors)
    scratch.replace(file)  # a run killed while writing must not find half an array
    return vectors


def to_input(views: Tensor) -> Tensor:
    """uint8 (N, H, W, 3) to float (N, 3, H, W), (x - 127) / 128; channels-last, since only strides change."""
    return (views.permute(0, 3, 1, 2).float() - MEAN) / STD


@torch.no_grad()
def embed_by(network: nn.Module, pixels: NDArray[np.uint8], side: int) -> Vectors:
    """(n, dim) vectors of length 1 by a PyTorch network."""
    device = next(network.parameters()).device
    parts = [
        network(to_input(torch.from_numpy(fitted(pixels[part], side)).to(device))).float().cpu().numpy()
        for part in in_batches(len(pixels), JUDGED)
    ]
    return normalize(np.concatenate(parts))


@torch.no_grad()
def embed_vectors(head: nn.Module, vectors: NDArray[np.float32]) -> Vectors:
    """(n, dim) vectors of length 1 by a head over vectors."""
    device = next(head.parameters()).device
    return normalize(head(torch.from_numpy(vectors).to(device)).float().cpu().numpy())


def write_trained(
    network: Tuned | SmallCNN,
    data: Data,
    config: SimilarityConfig,
    run: RunFolder,
    embedder: Embedder,
    figures: tuple[dict[str, float], dict[str, float]],
) -> str:
    """Export with its proof. Returns the parity."""
    scratch = config.model == SMALL
    before, after = (f"{part[config.metric]:.3f}" for part in figures)
    card = Card(
        name=run.path.name,
        dim=0,
        preprocessing=Preprocessing(size=(config.side, config.side), mean=(MEAN,) * 3, std=(STD,) * 3),
        sha256="",
        license="yours: trained from random weights" if scratch else embedder.card.license,
        source=config.model if scratch else f"{embedder.card.name}: {embedder.card.source}",
        description=(
            f"Trained from {data.kind} ({config.objective}, {config.train}) on {len(data.train):,} pictures; "
            f"validation {config.metric} {before} before, {after} after."
        ),
    )
    rows = np.resize(data.pictures.rows, SAMPLES)
    return str(export(network, run.path, card, samples=fitted(data.pictures.pixels[rows], config.side)))


def keep_before(config: SimilarityConfig, run: RunFolder) -> str:
    """The folder gets the model of before, under its own name."""
    source = model_folder(DEFAULT_MODEL if config.model == SMALL else config.model)
    for name in (MODEL_FILE, CARD_FILE):
        shutil.copyfile(source / name, run.path / name)
    return "unchanged"
