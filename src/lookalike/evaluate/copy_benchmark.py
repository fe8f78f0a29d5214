"""Benchmark of copy detection on your own images: every edit at five strengths, evaluated as retrieval."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.deprecation import renamed_property
from lookalike.embed import get_embedder
from lookalike.embed.combined import part_embedder
from lookalike.errors import BadQuery, ImageError, SourceError
from lookalike.evaluate.bootstrap import TIMES, Difference, bootstrap, differences
from lookalike.evaluate.metrics import recall_at_precision
from lookalike.evaluate.retrieval import Retrieval, retrieval
from lookalike.evaluate.vectors import Progress, folder_of, visible_folders
from lookalike.image import (
    EDITS,
    Edit,
    NotListed,
    SourceFile,
    decode,
    find,
    fit,
    get_edit,
    read,
    single_threaded_opencv,
)
from lookalike.indexing.pipeline import default_workers, parallel
from lookalike.parts import COPY
from lookalike.tasks import LocalTasks, TaskPool, check_visible
from lookalike.types import RGB, Embedder, Failure, Preprocessing, Vectors

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
SAMPLE = 200
GALLERY = 2000
HELD_OUT = 0.2
PRECISION = 0.99
_SIDE = 400  # pixels of the short side at least: a phone screen; edits of 12 MP would take a second each
_THUMBNAIL = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class EditResult:
    """Figures of one edit at one strength. `queries` have their original in the gallery, `unanswered` do not."""

    recall: float
    micro_ap: float
    queries: int
    unanswered: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBenchmark:
    """The benchmark of one model. `cells`: by edit and strength; `edits`: all strengths of an edit together.

    `min_score`: the lowest threshold at which at least `precision` of all pairs above it are right (None if there is
    none), and `recall`: the share of copies at or above it.
    """

    model: str
    overall: Retrieval
    cells: Mapping[tuple[str, float], EditResult]
    edits: Mapping[str, EditResult]
    min_score: float | None
    recall: float
    precision: float

    kept = renamed_property("kept", "recall")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkResult:
    """The result of `benchmark`. `models`: best micro-AP first. `lead`: the first model against the second, if any.

    `gallery`: the number of searched images; `sources`: of edited images, of which `held_out` are not in the gallery.
    `twins`: of images left out because another looks the same at 16 pixels.
    """

    models: Sequence[ModelBenchmark]
    lead: Difference | None
    gallery: int
    sources: int
    held_out: int
    twins: int
    skipped: Sequence[Failure]

    @property
    def best(self) -> ModelBenchmark:
        """The recommended model: the first of `models`."""
        return self.models[0]

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for json.dumps."""
        counts = {name: getattr(self, name) for name in ("gallery", "sources", "held_out", "twins")}
        return {
            "recommended": {"model": self.best.model, "min_score": self.best.min_score, "kept": self.best.recall},
            **counts,
            "skipped": [{"path": failure.path, "reason": failure.reason} for failure in self.skipped],
            "models": [_json(model) for model in self.models],
        }


def _json(model: ModelBenchmark) -> dict[str, Any]:
    cells = [
        {"edit": edit, "strength": strength, "recall@1": cell.recall, "micro-AP": cell.micro_ap}
        | {"queries": cell.queries, "unanswered": cell.unanswered}
        for (edit, strength), cell in model.cells.items()
    ]
    return {
        "model": model.model,
        "recall@1": model.overall["recall@1"],
        "micro-AP": model.overall["micro-AP"],
        "min_score": model.min_score,
        "precision": model.precision,
        "kept": model.recall,
        "edits": {edit: {"recall@1": cell.recall, "micro-AP": cell.micro_ap} for edit, cell in model.edits.items()},
        "cells": cells,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkPlan:
    """Settings of the benchmark.

    `sample`: the number of images to edit, of which the share `held_out` is left out of the gallery. `gallery`: the
    largest number of images searched. `precision`: that of the recommended min_score. `seed`: decides sample and edits.
    """

    edits: Sequence[str] = tuple(EDITS)
    strengths: Sequence[float] = STRENGTHS
    sample: int = SAMPLE
    gallery: int = GALLERY
    held_out: float = HELD_OUT
    precision: float = PRECISION
    seed: int = 0


def benchmark(
    photos: Sequence[str | Path],
    models: Sequence[str | Path | Embedder],
    *,
    plan: BenchmarkPlan | None = None,
    progress: Progress | None = None,
    tasks: TaskPool | None = None,
) -> BenchmarkResult:
    """Edit a sample of images and measure whether the originals are found. Raises SourceError, BadQuery.

    `tasks`: what edits and embeds the images, such as a `RayTasks`; None: this machine.

    Some of the edited images have no original in the gallery; every hit for them is wrong.
    """
    plan = plan or BenchmarkPlan()
    edits = [get_edit(name) for name in plan.edits]
    embedders = [part_embedder(get_embedder(m) if isinstance(m, str | Path) else m, COPY) for m in models]
    jobs, skipped = _sample_jobs(photos, plan)
    # Thumbnails cost a hundredth of editing: bad input is reported early, and no twin is edited.
    thumbnails = _thumbnails(jobs)
    skipped += [thumbnail.failure for thumbnail in thumbnails if thumbnail.failure]
    different = _without_twins([thumbnail for thumbnail in thumbnails if thumbnail.failure is None])
    twins = sum(thumbnail.failure is None for thumbnail in thumbnails) - len(different)
    if sum(job.source for job in different) < 2 or len(different) < 3:
        count = f"{len(different)} different image{'s' * (len(different) != 1)}"
        raise SourceError(f"{count} could be read; the benchmark needs three or more")
    tasks = tasks or LocalTasks()
    folders = visible_folders([job.file for job in different], tasks)
    work = _EditAndEmbed(embedders, edits, plan.strengths, plan.seed, folders)
    images = _embed(different, work, plan, progress, tasks)
    skipped += [image.failure for image in images if image.failure]
    images = [image for image in images if image.failure is None]
    names = [str(m) if isinstance(m, str | Path) else m.card.name for m in models]
    results = [_evaluate_model(name, n, images, plan) for n, name in enumerate(names)]
    ranked = sorted(results, key=lambda model: -model.overall["micro-AP"])
    held_out = sum(image.held_out for image in images)
    return BenchmarkResult(
        models=ranked,
        lead=_lead(ranked, images) if len(ranked) > 1 else None,
        gallery=len(images) - held_out,
        sources=sum(bool(len(image.edited)) for image in images),
        held_out=held_out,
        twins=twins,
        skipped=skipped,
    )


# --- from files to vectors


@dataclass(frozen=True, slots=True)
class _Job:
    """One file. `source`: whether it is edited. `held_out`: whether its original is left out of the gallery."""

    file: SourceFile
    index: int
    source: bool
    held_out: bool


@dataclass(frozen=True, slots=True)
class _ImageVectors:
    """Vectors of one image: `plain` (1, dim) per model; of a source also `edited` (edits x strengths, dim)."""

    index: int
    path: str
    held_out: bool
    plain: Sequence[Vectors]
    edited: Sequence[Vectors]
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class _Thumbnail:
    """One image at 16 x 16 pixels, or why there is none."""

    job: _Job
    pixels: NDArray[np.int16]
    failure: Failure | None = None


def _sample_jobs(photos: Sequence[str | Path], plan: BenchmarkPlan) -> tuple[list[_Job], list[Failure]]:
    """A random sample of the files: first the sources, then those that are in the gallery only."""
    if not plan.edits or not plan.strengths or plan.sample < 2 or not 0 <= plan.held_out < 1:
        raise BadQuery("the benchmark needs an edit, a strength, a sample of two or more, and a held-out share below 1")
    files, skipped = [], []
    for item in find(photos):
        if isinstance(item, NotListed):
            skipped.append(Failure(item.path, item.reason))
        else:
            files.append(item)
    drawn = np.random.default_rng(plan.seed).permutation(len(files))[: max(plan.gallery, plan.sample)]
    every = round(1 / plan.held_out) if plan.held_out else len(files) + 1
    return [
        _Job(files[row], n, n < plan.sample, n < plan.sample and n % every == every - 1) for n, row in enumerate(drawn)
    ], skipped


def _embed(
    jobs: Sequence[_Job],
    work: "_EditAndEmbed",
    plan: BenchmarkPlan,
    progress: Progress | None,
    tasks: TaskPool,
) -> list[_ImageVectors]:
    images: list[_ImageVectors] = []
    # A source takes as long as a hundred other images: tasks of one, so that all cores finish at the same time.
    cost = 1 + len(plan.edits) * len(plan.strengths)
    sources, done = {job.index for job in jobs if job.source}, 0
    total = len(jobs) + len(sources) * (cost - 1)
    with single_threaded_opencv():
        for part in tasks.map(_edit_and_embed, [[job] for job in jobs], work):
            images += part
            done += sum(cost if image.index in sources else 1 for image in part)
            if progress:
                progress(done, total)
    return sorted(images, key=lambda image: image.index)


def _edit_and_embed(work: "_EditAndEmbed", jobs: Sequence[_Job]) -> list[_ImageVectors]:
    """Edit and embed some images: a task."""
    return work(jobs)


@dataclass(frozen=True, slots=True)
class _EditAndEmbed:
    """The work on one image: read it once, edit it once, embed it with every model.

    `folders`: with images, each of which the machine must be able to read.
    """

    embedders: Sequence[Embedder]
    edits: Sequence[Edit]
    strengths: Sequence[float]
    seed: int
    folders: frozenset[str] = frozenset()

    def __call__(self, jobs: Sequence[_Job]) -> list[_ImageVectors]:
        check_visible(self.folders & {folder_of(job.file) for job in jobs})
        return [self._one(job) for job in jobs]

    def _one(self, job: _Job) -> _ImageVectors:
        path = job.file.path
        try:
            image = decode(read(path), side=_SIDE).image
        except ImageError as error:
            return _ImageVectors(job.index, path, job.held_out, (), (), Failure(path, str(error)))
        plain = [embedder.embed([image]) for embedder in self.embedders]
        edited = self._edited(image, job) if job.source else ()
        return _ImageVectors(job.index, path, job.held_out, plain, edited)

    def _edited(self, image: RGB, job: _Job) -> list[Vectors]:
        parts: list[list[Vectors]] = [[] for _ in self.embedders]
        for edit in self.edits:
            seed = zlib.crc32(f"{self.seed} {job.file.name} {edit.name}".encode())
            copies = [edit.apply(image, strength, seed) for strength in self.strengths]
            # An edit without strengths gives the same image five times: it is embedded once.
            distinct = [n for n in range(len(copies)) if not n or not np.array_equal(copies[n], copies[n - 1])]
            rows = np.searchsorted(distinct, np.arange(len(copies)), side="right") - 1
            for embedder, part in zip(self.embedders, parts, strict=True):
                fitted = [fit(copies[n], embedder.card.preprocessing) for n in distinct]
                part.append(embedder.embed(fitted)[rows])
        return [np.concatenate(part) for part in parts]


def _thumbnails(jobs: Sequence[_Job]) -> list[_Thumbnail]:
    thumbnails: list[_Thumbnail] = []
    for part in parallel(jobs, lambda batch: [_thumbnail(job) for job in batch], workers=default_workers(), batch=16):
        thumbnails += part
    return sorted(thumbnails, key=lambda thumbnail: thumbnail.job.index)


def _thumbnail(job: _Job) -> _Thumbnail:
    path = job.file.path
    try:
        image = decode(read(path), side=_SIDE).image
    except ImageError as error:
        return _Thumbnail(job, np.zeros(0, np.int16), Failure(path, str(error)))
    return _Thumbnail(job, fit(image, Preprocessing(size=(_THUMBNAIL, _THUMBNAIL))).astype(np.int16).ravel())


def _without_twins(thumbnails: Sequence[_Thumbnail]) -> list[_Job]:
    """Drop images that look the same as another at 16 pixels: finding the other one would count as a mistake."""
    retained: list[_Job] = []
    pixels = np.zeros((len(thumbnails), 3 * _THUMBNAIL * _THUMBNAIL), np.int16)
    for thumbnail in thumbnails:
        if retained and np.abs(pixels[: len(retained)] - thumbnail.pixels).mean(axis=1).min() < 6:
            continue
        pixels[len(retained)] = thumbnail.pixels
        retained.append(thumbnail.job)
    return retained


# --- from vectors to figures


def _evaluate_model(name: str, model: int, images: Sequence[_ImageVectors], plan: BenchmarkPlan) -> ModelBenchmark:
    searched = [image for image in images if not image.held_out]
    sources = [image for image in images if image.edited]
    gallery = np.concatenate([image.plain[model] for image in searched])
    gallery_labels = [image.path for image in searched]
    labels = np.array(["" if image.held_out else image.path for image in sources], np.str_)
    queries = np.stack([image.edited[model] for image in sources])  # (sources, edits x strengths, dim)

    def evaluate(columns: NDArray[np.int64]) -> Retrieval:
        flat = np.ascontiguousarray(queries[:, columns].reshape(-1, queries.shape[2]))
        return retrieval(flat, gallery, np.repeat(labels, len(columns)), gallery_labels, ks=(1,))

    count = len(plan.strengths)
    everything = np.arange(queries.shape[1])
    cells = {
        (edit, strength): _edit_result(evaluate(np.array([n * count + m])))
        for n, edit in enumerate(plan.edits)
        for m, strength in enumerate(plan.strengths)
    }
    overall = evaluate(everything)
    recall, score = recall_at_precision(overall.tally, plan.precision)
    return ModelBenchmark(
        model=name,
        overall=overall,
        cells=cells,
        edits={
            edit: _edit_result(evaluate(everything[n * count : (n + 1) * count])) for n, edit in enumerate(plan.edits)
        },
        min_score=score if np.isfinite(score) else None,
        recall=recall,
        precision=plan.precision,
    )


def _edit_result(result: Retrieval) -> EditResult:
    return EditResult(
        recall=result["recall@1"],
        micro_ap=result["micro-AP"],
        queries=result.queries,
        unanswered=result.unanswered,
    )


def _lead(ranked: Sequence[ModelBenchmark], images: Sequence[_ImageVectors]) -> Difference:
    """The best model's micro-AP against the second's; all edits of an image are drawn together."""
    one, other = (model.overall for model in ranked[:2])
    sources = sum(bool(image.edited) for image in images)
    groups = np.repeat(np.arange(sources), len(one.per_query.first_rank) // sources)
    draws = [bootstrap(result, times=TIMES, groups=groups) for result in (one, other)]
    return differences(one.figures, other.figures, *draws)["micro-AP"]
