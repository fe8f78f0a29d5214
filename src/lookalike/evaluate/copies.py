"""Does a model find edited copies of these very pictures? Every edit at five strengths, judged like any retrieval."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.embed import get_embedder
from lookalike.errors import BadQuery, ImageError, SourceError
from lookalike.evaluate.bootstrap import TIMES, Difference, differences, draw
from lookalike.evaluate.metrics import recall_at_precision
from lookalike.evaluate.retrieval import Retrieval, retrieval
from lookalike.evaluate.vectors import Progress
from lookalike.image import EDITS, Edit, NotListed, SourceFile, decode, find, fit, get_edit, read
from lookalike.indexing.pipeline import default_workers, parallel
from lookalike.types import RGB, Embedder, Failure, Preprocessing, Vectors

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
SAMPLE = 200
GALLERY = 2000
HELD_OUT = 0.2
PRECISION = 0.99
_SIDE = 400  # pixels of the short side at least: what a phone shows; edits of 12 MP would take a second each
_TINY = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One edit at one strength. `queries` have their original in the gallery, `unanswered` have not."""

    recall: float
    micro_ap: float
    queries: int
    unanswered: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCopies:
    """How one model does. `cells`: by edit and strength; `edits`: all strengths of an edit together.

    `min_score`: the lowest score from which `precision` of all pairs are right (None where no score reaches that), and
    `kept`: the share of copies at or above it.
    """

    model: str
    overall: Retrieval
    cells: Mapping[tuple[str, float], Cell]
    edits: Mapping[str, Cell]
    min_score: float | None
    kept: float
    precision: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """The benchmark's result. `models`, best micro-AP first; `lead`: the first against the second, where there are two.

    `gallery` pictures searched, `sources` that were edited, of which `held_out` are not in the gallery. `twins`:
    pictures left out since another looks the same at 16 pixels.
    """

    models: Sequence[ModelCopies]
    lead: Difference | None
    gallery: int
    sources: int
    held_out: int
    twins: int
    skipped: Sequence[Failure]

    @property
    def best(self) -> ModelCopies:
        return self.models[0]

    def to_json(self) -> dict[str, Any]:
        """Everything, ready for json.dumps."""
        basis = {name: getattr(self, name) for name in ("gallery", "sources", "held_out", "twins")}
        return {
            "recommended": {"model": self.best.model, "min_score": self.best.min_score, "kept": self.best.kept},
            **basis,
            "skipped": [{"path": failure.path, "reason": failure.reason} for failure in self.skipped],
            "models": [_json(model) for model in self.models],
        }


def _json(model: ModelCopies) -> dict[str, Any]:
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
        "kept": model.kept,
        "edits": {edit: {"recall@1": cell.recall, "micro-AP": cell.micro_ap} for edit, cell in model.edits.items()},
        "cells": cells,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to test. `sample`: pictures that are edited, of which `held_out` are kept out of the gallery.

    `gallery`: pictures searched, at most. `precision`: what the recommended min_score must have. Sampling and edits
    follow from `seed`.
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
    plan: Plan | None = None,
    progress: Progress | None = None,
) -> Copies:
    """Edit a sample of these pictures and see whether the originals are found. Raises SourceError, BadQuery.

    A few of the edited pictures have no original in the gallery: what is found for them is wrong.
    """
    plan = plan or Plan()
    edits = [get_edit(name) for name in plan.edits]
    embedders = [get_embedder(m) if isinstance(m, str | Path) else m for m in models]
    listed, skipped = _listed(photos, plan)
    # Looking is a hundredth of editing: what cannot be judged is told before, and no twin is edited in vain.
    looked = _looked(listed)
    skipped += [one.failure for one in looked if one.failure]
    different = _without_twins([one for one in looked if one.failure is None])
    twins = sum(one.failure is None for one in looked) - len(different)
    if sum(job.source for job in different) < 2 or len(different) < 3:
        count = f"{len(different)} different picture{'s' * (len(different) != 1)}"
        raise SourceError(f"{count} could be read; the benchmark needs three or more")
    shots = _embed(different, _Work(embedders, edits, plan.strengths, plan.seed), plan, progress)
    skipped += [one.failure for one in shots if one.failure]
    shots = [one for one in shots if one.failure is None]
    names = [str(m) if isinstance(m, str | Path) else m.card.name for m in models]
    judged = [_judge(name, n, shots, plan) for n, name in enumerate(names)]
    order = sorted(judged, key=lambda model: -model.overall["micro-AP"])
    out = [shot for shot in shots if shot.held_out]
    return Copies(
        models=order,
        lead=_lead(order, shots) if len(order) > 1 else None,
        gallery=len(shots) - len(out),
        sources=sum(bool(len(shot.edited)) for shot in shots),
        held_out=len(out),
        twins=twins,
        skipped=skipped,
    )


# --- from files to vectors


@dataclass(frozen=True, slots=True)
class _Job:
    found: SourceFile
    place: int
    source: bool
    held_out: bool


@dataclass(frozen=True, slots=True)
class _Shot:
    """One picture done: `plain`, (1, dim) a model; `edited`, (edits x strengths, dim) a model where it is a source."""

    place: int
    path: str
    held_out: bool
    plain: Sequence[Vectors]
    edited: Sequence[Vectors]
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class _Look:
    """One picture at 16 pixels, or why there is none."""

    job: _Job
    tiny: NDArray[np.int16]
    failure: Failure | None = None


def _listed(photos: Sequence[str | Path], plan: Plan) -> tuple[list[_Job], list[Failure]]:
    """The pictures to use, by lot: sources first, then those that only fill the gallery."""
    if not plan.edits or not plan.strengths or plan.sample < 2 or not 0 <= plan.held_out < 1:
        raise BadQuery("the benchmark needs an edit, a strength, a sample of two or more, and originals in the gallery")
    files, skipped = [], []
    for item in find(photos):
        if isinstance(item, NotListed):
            skipped.append(Failure(item.path, item.reason))
        else:
            files.append(item)
    lot = np.random.default_rng(plan.seed).permutation(len(files))[: max(plan.gallery, plan.sample)]
    every = round(1 / plan.held_out) if plan.held_out else len(files) + 1
    return [
        _Job(files[row], n, n < plan.sample, n < plan.sample and n % every == every - 1) for n, row in enumerate(lot)
    ], skipped


def _embed(jobs: Sequence[_Job], work: "_Work", plan: Plan, progress: Progress | None) -> list[_Shot]:
    shots: list[_Shot] = []
    # A source is a hundred pictures' work: one at a time, so that no core ends long after the others.
    cost = 1 + len(plan.edits) * len(plan.strengths)
    sources, done = {job.place for job in jobs if job.source}, 0
    total = len(jobs) + len(sources) * (cost - 1)
    for part in parallel(jobs, work, workers=default_workers(), batch=1):
        shots += part
        done += sum(cost if shot.place in sources else 1 for shot in part)
        if progress:
            progress(done, total)
    return sorted(shots, key=lambda shot: shot.place)


@dataclass(frozen=True, slots=True)
class _Work:
    """What a worker does with a picture: read it once, edit it once, embed it by every model."""

    embedders: Sequence[Embedder]
    edits: Sequence[Edit]
    strengths: Sequence[float]
    seed: int

    def __call__(self, jobs: Sequence[_Job]) -> list[_Shot]:
        return [self._one(job) for job in jobs]

    def _one(self, job: _Job) -> _Shot:
        path = job.found.path
        try:
            image = decode(read(path), side=_SIDE).image
        except ImageError as error:
            return _Shot(job.place, path, job.held_out, (), (), Failure(path, str(error)))
        plain = [embedder.embed([image]) for embedder in self.embedders]
        edited = self._edited(image, job) if job.source else ()
        return _Shot(job.place, path, job.held_out, plain, edited)

    def _edited(self, image: RGB, job: _Job) -> list[Vectors]:
        parts: list[list[Vectors]] = [[] for _ in self.embedders]
        for edit in self.edits:
            seed = zlib.crc32(f"{self.seed} {job.found.name} {edit.name}".encode())
            made = [edit.apply(image, strength, seed) for strength in self.strengths]
            # An edit that knows no strength gives one picture five times: it is embedded once.
            fresh = [n for n in range(len(made)) if not n or not np.array_equal(made[n], made[n - 1])]
            rows = np.searchsorted(fresh, np.arange(len(made)), side="right") - 1
            for embedder, part in zip(self.embedders, parts, strict=True):
                fitted = [fit(made[n], embedder.card.preprocessing) for n in fresh]
                part.append(embedder.embed(fitted)[rows])
        return [np.concatenate(part) for part in parts]


def _looked(jobs: Sequence[_Job]) -> list[_Look]:
    looks: list[_Look] = []
    for part in parallel(jobs, lambda some: [_look(job) for job in some], workers=default_workers(), batch=16):
        looks += part
    return sorted(looks, key=lambda look: look.job.place)


def _look(job: _Job) -> _Look:
    path = job.found.path
    try:
        image = decode(read(path), side=_SIDE).image
    except ImageError as error:
        return _Look(job, np.zeros(0, np.int16), Failure(path, str(error)))
    return _Look(job, fit(image, Preprocessing(size=(_TINY, _TINY))).astype(np.int16).ravel())


def _without_twins(looks: Sequence[_Look]) -> list[_Job]:
    """Pictures no two of which look the same at 16 pixels: finding the other one would be counted as a mistake."""
    kept: list[_Job] = []
    seen = np.zeros((len(looks), 3 * _TINY * _TINY), np.int16)
    for look in looks:
        if kept and np.abs(seen[: len(kept)] - look.tiny).mean(axis=1).min() < 6:
            continue
        seen[len(kept)] = look.tiny
        kept.append(look.job)
    return kept


# --- from vectors to figures


def _judge(name: str, model: int, shots: Sequence[_Shot], plan: Plan) -> ModelCopies:
    known = [shot for shot in shots if not shot.held_out]
    sources = [shot for shot in shots if shot.edited]
    gallery, gallery_labels = np.concatenate([shot.plain[model] for shot in known]), [shot.path for shot in known]
    labels = np.array(["" if shot.held_out else shot.path for shot in sources], np.str_)
    queries = np.stack([shot.edited[model] for shot in sources])  # (sources, edits x strengths, dim)

    def found(part: NDArray[np.int64]) -> Retrieval:
        asked = queries[:, part]
        flat = np.ascontiguousarray(asked.reshape(-1, queries.shape[2]))
        return retrieval(flat, gallery, np.repeat(labels, len(part)), gallery_labels, ks=(1,))

    count = len(plan.strengths)
    every = np.arange(queries.shape[1])
    cells = {
        (edit, strength): _cell(found(np.array([n * count + m])))
        for n, edit in enumerate(plan.edits)
        for m, strength in enumerate(plan.strengths)
    }
    overall = found(every)
    kept, score = recall_at_precision(overall.tally, plan.precision)
    return ModelCopies(
        model=name,
        overall=overall,
        cells=cells,
        edits={edit: _cell(found(every[n * count : (n + 1) * count])) for n, edit in enumerate(plan.edits)},
        min_score=score if np.isfinite(score) else None,
        kept=kept,
        precision=plan.precision,
    )


def _cell(found: Retrieval) -> Cell:
    return Cell(
        recall=found["recall@1"],
        micro_ap=found["micro-AP"],
        queries=found.queries,
        unanswered=found.unanswered,
    )


def _lead(order: Sequence[ModelCopies], shots: Sequence[_Shot]) -> Difference:
    """The best model's micro-AP against the second's; all edits of a picture are drawn together."""
    one, other = (model.overall for model in order[:2])
    sources = sum(bool(shot.edited) for shot in shots)
    groups = np.repeat(np.arange(sources), len(one.per_query.first_rank) // sources)
    drawn = [draw(found, times=TIMES, groups=groups) for found in (one, other)]
    return differences(one.figures, other.figures, *drawn)["micro-AP"]
