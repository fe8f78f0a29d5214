"""Relations, proof and probabilities, measured: the figures of docs/benchmarks-relations.md.

    python -m benchmarks.relations DATA_DIR [--part copies error false drawn turned inside speed detectors] [-o DIR]

DATA_DIR holds copydet-kodak, kodak24, grocery-mini, emoji, pdq-data. What the calibration was fitted to is told in
docs/relations.md; none of it is measured here.
"""

import argparse
import csv
import itertools
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.quality import average_precision, pdq, phash, worst_order
from lookalike.embed.registry import DEFAULT_MODEL, get_embedder
from lookalike.image import EDITS, decode
from lookalike.relate import Subject, Verdict, calibration_of_card, find_features, judge, verify
from lookalike.relate.find_in import find_in
from lookalike.relate.geometry.containment import outline_iou
from lookalike.relate.probability.calibration_fit import calibration_error, work_image
from lookalike.similarity import cosine, normalize
from lookalike.types import RGB, Relation, Vectors

SIDE = 512
NEAREST = 10  # of the background, for normalised scores


class Lab:
    """The model, its calibration, and every picture looked at once."""

    def __init__(self, data: Path, out: Path | None) -> None:
        cv2.setNumThreads(1)
        self.data, self.out = data, out
        self.embedder = get_embedder(DEFAULT_MODEL)
        self.calibration = calibration_of_card(self.embedder.card)
        self._seen: dict[str, Subject] = {}
        self._verdicts: dict[tuple[str, str], Verdict] = {}

    def picture(self, path: Path) -> RGB:
        return decode(path.read_bytes(), side=SIDE).image

    def subject(self, path: Path) -> Subject:
        name = os.path.normpath(path)
        if name not in self._seen:
            self._seen[name] = self.of(self.picture(path), name)
        return self._seen[name]

    def of(self, image: RGB, name: str = "") -> Subject:
        (vector,) = self.embedder.embed([image])
        return Subject(name=name, vector=vector, features=find_features(image))

    def judged(self, first: Subject, second: Subject) -> Verdict:
        """The verdict, once for every pair."""
        key = (first.name, second.name)
        if key not in self._verdicts:
            self._verdicts[key] = judge(first, second, self.calibration)
        return self._verdicts[key]

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.data / name / "ground_truth.csv").open(newline="", encoding="utf-8") as lines:
            return list(csv.DictReader(lines))


def main() -> None:
    parts = {
        "copies": copies, "error": error, "false": false_copies, "turned": turned, "inside": inside, "speed": speed,
        "detectors": detectors, "drawn": drawn_copies,
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA_DIR")
    parser.add_argument("--part", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("-o", "--output", type=Path, help="a folder for the reliability curve")
    options = parser.parse_args()
    if not (options.data / "copydet-kodak").is_dir():
        print(f"skipped: {options.data} has no copydet-kodak")
        return
    lab = Lab(options.data, options.output)
    for name in options.part:
        started = time.process_time()
        parts[name](lab)
        print(f"({name}: {time.process_time() - started:.0f} s of CPU)\n", flush=True)


# --- copies among strangers


def copies(lab: Lab) -> None:
    """copydet-kodak: micro-AP, R@1, recall at 90% precision of each way to score a pair."""
    folder, rows = lab.data / "copydet-kodak", lab.rows("copydet-kodak")
    queries = [r for r in rows if r["role"] == "query"]
    gallery = [r for r in rows if r["role"] == "gallery"]
    asked = [lab.subject(folder / r["path"]) for r in queries]
    held = [lab.subject(folder / r["path"]) for r in gallery]
    relevant = np.array([[q["label"] == g["label"] for g in gallery] for q in queries])
    raw = cosine(stack(asked), stack(held)).astype(np.float64)
    background = stack([lab.subject(p) for p in sorted((lab.data / "grocery-mini" / "val").glob("*.jpg"))])
    level = np.sort(cosine(stack(asked), background), axis=1)[:, -NEAREST:].mean(axis=1, keepdims=True)
    normalized = raw - level
    print(f"### copydet-kodak: {len(queries)} queries, {len(gallery)} in the collection\n")
    print("| score | µAP | R@1 | recall at 90% precision |\n|---|---|---|---|")
    for name, scores in hashes(lab, folder, queries, gallery).items():
        tell(name, scores, relevant)
    tell("raw score", raw, relevant)
    tell("normalised by the query's level", normalized, relevant)
    for k in (5, 20):
        tell(f"best {k} verified by geometry", verified(lab, asked, held, raw, k), relevant)
    by_attack(queries, verified(lab, asked, held, raw, 20), raw, relevant)


def hashes(lab: Lab, folder: Path, queries: Sequence[dict], gallery: Sequence[dict]) -> dict[str, NDArray[np.float64]]:
    found = {}
    for name, embed in (("pHash", phash), ("PDQ", pdq)):
        a, b = (
            normalize(np.stack([embed(lab.picture(folder / r["path"])) for r in rows])) for rows in (queries, gallery)
        )
        found[name] = cosine(a, b).astype(np.float64)
    return found


def verified(
    lab: Lab, asked: Sequence[Subject], held: Sequence[Subject], raw: NDArray[np.float64], k: int
) -> NDArray[np.float64]:
    """P(copy) of the best k of each query above everything else, which stays in the order of the score."""
    scores = raw - 10
    for i, query in enumerate(asked):
        for j in np.argsort(-raw[i])[:k]:
            logit = _logit(lab.judged(query, held[j]).copy)
            scores[i, j] = logit + 0.01 * raw[i, j] if logit > -5 else raw[i, j] - 8
    return scores


def _logit(chance: float) -> float:
    chance = min(max(chance, 1e-12), 1 - 1e-12)
    return float(np.log(chance / (1 - chance)))


def tell(name: str, scores: NDArray[np.float64], relevant: NDArray[np.bool_]) -> None:
    ranked = worst_order(scores.ravel(), relevant.ravel())
    first = np.mean([worst_order(s, r)[0] for s, r in zip(scores, relevant, strict=True)])
    hits = np.cumsum(ranked)
    precise = hits / np.arange(1, len(ranked) + 1) >= 0.9
    recall = hits[precise].max(initial=0) / relevant.sum()
    print(f"| {name} | {average_precision(ranked):.4f} | {first:.4f} | {recall:.4f} |", flush=True)


def by_attack(
    queries: Sequence[dict], scores: NDArray[np.float64], raw: NDArray[np.float64], relevant: NDArray[np.bool_]
) -> None:
    groups = defaultdict(list)
    for i, row in enumerate(queries):
        groups[row["attack"]].append(i)
    wrong = []
    for name, members in groups.items():
        before, after = (np.mean([worst_order(s[i], relevant[i])[0] for i in members]) for s in (raw, scores))
        if min(before, after) < 1:
            wrong.append(f"{name} {before:.2f} → {after:.2f}")
    print("\nR@1 by edit, raw score → best 20 verified, where either is below 1:", ", ".join(wrong) or "none")


# --- what a probability is worth


def error(lab: Lab) -> None:
    """Stated P(copy) against truth: copydet-kodak (edits by others) and our edits of kodak24."""
    folder, rows = lab.data / "copydet-kodak", lab.rows("copydet-kodak")
    gallery = [r for r in rows if r["role"] == "gallery"]
    held = [lab.subject(folder / r["path"]) for r in gallery]
    vectors = stack(held)
    named = {"copydet-kodak": list(theirs(lab, folder, rows)), "our edits of kodak24": list(ours(lab))}
    print("### P(copy) against truth\n\n| pairs | by | count | copies | calibration error |\n|---|---|---|---|---|")
    curves = {}
    for name, asked in named.items():
        for by in ("geometry and score", "score alone"):
            stated, truth = stated_for(lab, asked, gallery, held, vectors, verify_geometry=by != "score alone")
            curves[f"{name}, {by}"] = (stated, truth)
            told = f"{len(truth):,} | {truth.sum():,} | {calibration_error(stated, truth):.4f}"
            print(f"| {name} | {by} | {told} |", flush=True)
    if lab.out:
        from lookalike.plot import reliability, save

        lab.out.mkdir(parents=True, exist_ok=True)
        print(f"drawn: {save(reliability(curves), lab.out / 'reliability.png')}")


def stated_for(
    lab: Lab,
    asked: Sequence[tuple[str, Subject]],
    gallery: Sequence[dict],
    held: Sequence[Subject],
    vectors: Vectors,
    *,
    verify_geometry: bool,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Each query against its original, and against the two nearest and two random others, as in the fit."""
    random = np.random.default_rng(1)
    stated, truth = [], []
    for label, query in asked:
        order = np.argsort(-(vectors @ query.vector))
        right = [j for j in order if gallery[j]["label"] == label]
        others = [j for j in order if gallery[j]["label"] != label]
        for j in [*right, *others[:2], *(others[int(n)] for n in random.choice(np.arange(2, len(others)), 2))]:
            verdict = (
                lab.judged(query, held[j])
                if verify_geometry
                else judge(query, held[j], lab.calibration, verify_geometry=False)
            )
            stated.append(verdict.copy)
            truth.append(j in right)
    return np.array(stated), np.array(truth)


def theirs(lab: Lab, folder: Path, rows: Iterable[dict]) -> Iterator[tuple[str, Subject]]:
    for row in rows:
        if row["role"] == "query":
            yield row["label"], lab.subject(folder / row["path"])


def ours(lab: Lab) -> Iterator[tuple[str, Subject]]:
    random = np.random.default_rng(2)
    for path in sorted((lab.data / "kodak24").glob("*.png")):
        image = work_image(lab.picture(path))
        for name in EDITS:
            edited = EDITS[name].apply(image, float(random.uniform(0, 1)), int(random.integers(99999)))
            yield path.stem, lab.of(edited, f"{path.stem} {name}")


# --- what is no copy


def false_copies(lab: Lab) -> None:
    """Different shelf photos of one product; different emoji: next in code order, nearest, the same by another hand."""
    pairs = list(itertools.chain(grocery_pairs(lab), emoji_pairs(lab)))
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
    wrong = []
    for kind, a, b in pairs:
        verdict = judge(lab.subject(a), lab.subject(b), lab.calibration)
        tally = counts[kind]
        tally[0] += 1
        tally[4] += verdict.relation is Relation.IDENTICAL
        tally[1] += verdict.relation is Relation.COPY
        tally[2] += verdict.relation is Relation.CANNOT_TELL
        tally[3] += verdict.relation is Relation.SAME_OBJECT
        if verdict.relation is Relation.COPY:
            wrong.append((round(verdict.copy, 3), a.name, b.name, _numbers(verdict)))
    print("### False copies; identical are two emoji of one drawing, pixel for pixel, which is true of them\n")
    print("| pairs | count | copy | cannot tell | same object | identical |\n|---|---|---|---|---|---|")
    for kind, tally in counts.items():
        print(f"| {kind} | " + " | ".join(f"{n:,}" for n in tally) + " |")
    print(f"| all | {sum(t[0] for t in counts.values()):,} | {sum(t[1] for t in counts.values())} | | | |")
    for line in sorted(wrong, reverse=True)[:40]:
        print("   ", *line)


def _numbers(verdict: Verdict) -> str:
    match = verdict.evidence.match
    if match is None:
        return "identical pixels"
    seen = match.agreement
    return (
        f"score {verdict.evidence.score:.2f} inliers {match.inliers} structure {seen.structure:.2f} residual "
        f"{match.residual:.2f} color {seen.color:.2f} inside {seen.first_inside:.2f} {seen.second_inside:.2f}"
    )


def grocery_pairs(lab: Lab) -> Iterator[tuple[str, Path, Path]]:
    groups = defaultdict(list)
    for row in lab.rows("grocery-mini"):
        if row["role"] == "gallery":
            groups[row["label"]].append(lab.data / "grocery-mini" / row["path"])
    for members in groups.values():
        for a, b in itertools.combinations(members, 2):
            yield "shelf photos of one product", a, b


def emoji_pairs(lab: Lab) -> Iterator[tuple[str, Path, Path]]:
    rows = lab.rows("emoji")
    by_hand = defaultdict(dict)
    for row in rows:
        by_hand[row["path"].split("/")[0]][row["label"]] = lab.data / "emoji" / row["path"]
    for hand, symbols in by_hand.items():
        paths = [symbols[label] for label in sorted(symbols, key=lambda s: symbols[s].name)]
        for a, b in itertools.pairwise(paths):
            yield f"emoji, {hand}: next in code order", a, b
        vectors = stack([lab.subject(p) for p in paths])
        scores = cosine(vectors, vectors)
        np.fill_diagonal(scores, -1)
        for n, other in enumerate(scores.argmax(axis=1)):
            if abs(n - int(other)) > 1:
                yield f"emoji, {hand}: nearest by score", paths[n], paths[other]
    first, second = by_hand.values()
    for label in list(first)[:1911]:
        if label in second:
            yield "emoji: the same symbol by another hand", first[label], second[label]


def drawn_copies(lab: Lab, count: int = 200) -> None:
    """The other side of doubt: edited copies of emoji, which are drawings of a few shapes. How many are still found?"""
    random = np.random.default_rng(5)
    paths = [lab.data / "emoji" / row["path"] for row in lab.rows("emoji")]
    chosen = [paths[int(n)] for n in random.choice(len(paths), count, replace=False)]
    print("### Edited copies of emoji, 64 pixels\n\n| edit | copy | cannot tell | weaker |\n|---|---|---|---|")
    for name in ("jpeg", "resize", "crop", "brightness", "blur", "border", "rotate", "flip", "caption"):
        told = [0, 0, 0]
        for path in chosen:
            image = EDITS[name].apply(lab.picture(path), float(random.uniform(0, 0.6)), int(random.integers(99999)))
            relation = judge(lab.of(image), lab.subject(path), lab.calibration).relation
            told[0 if relation >= Relation.COPY else 1 if relation is Relation.CANNOT_TELL else 2] += 1
        print(f"| {name} | " + " | ".join(f"{n / count:.2f}" for n in told) + " |", flush=True)


# --- mirrored and turned


def turned(lab: Lab) -> None:
    """pdq-data: the eight ways to lay the bridge, and the desk by EXIF orientation."""
    folder, rows = lab.data / "pdq-data", lab.rows("pdq-data")
    bridge = next(r for r in rows if r["label"] == "bridge" and r["role"] == "gallery")
    original = lab.subject(folder / bridge["path"])
    found, told = 0, []
    asked = [r for r in rows if r["label"] == "bridge" and r["kind"] == "dihedral"]
    for row in asked:
        verdict = judge(lab.subject(folder / row["path"]), original, lab.calibration)
        match = verdict.evidence.match
        found += verdict.relation >= Relation.COPY
        told.append(f"{Path(row['path']).stem}: {verdict.relation} {verdict.copy:.3f}"
                    + (f" mirrored {match.mirrored} turn {match.turn:.0f}" if match else ""))  # fmt: skip
    others = [r for r in rows if r["label"] == "bridge" and r["role"] == "query" and r["kind"] != "dihedral"]
    rest = sum(judge(lab.subject(folder / r["path"]), original, lab.calibration).relation >= 3 for r in others)
    print(f"### pdq-data: mirrored and turned copies found: {found} of {len(asked)}; other edits and pixel modes: "
          f"{rest} of {len(others)}\n")  # fmt: skip
    print("\n".join(told))


# --- a picture in a picture


def inside(lab: Lab, count: int = 60) -> None:
    """A kodak photo pasted into a shelf photo: share of the area, found, placed with an overlap of at least .8."""
    random = np.random.default_rng(3)
    photos = [work_image(lab.picture(p)) for p in sorted((lab.data / "kodak24").glob("*.png"))]
    scenes = [lab.picture(p) for p in sorted((lab.data / "grocery-mini" / "val").glob("*.jpg"))]
    print("### Picture in picture\n")
    print("| share of the larger picture | found | placed, overlap ≥ .8 | false places |\n|---|---|---|---|")
    for share in (0.25, 0.1, 0.05, 0.02):
        found = placed = false = 0
        for n in range(count):
            scene = cv2.resize(scenes[int(random.integers(len(scenes)))], (1024, 768), interpolation=cv2.INTER_AREA)
            page, outline = pasted(scene, photos[n % len(photos)], share, random)
            places = find_in(photos[n % len(photos)], page, lab.calibration)
            best = max((outline_iou(p.outline, outline) for p in places), default=0.0)
            found += bool(places)
            placed += best >= 0.8
            false += sum(outline_iou(p.outline, outline) < 0.3 for p in places)
        print(f"| {share:.0%} | {found / count:.3f} | {placed / count:.3f} | {false} |", flush=True)
    nothing = sum(bool(find_in(photos[n % 24], scenes[n], lab.calibration)) for n in range(60))
    print(f"\nplaces found in 60 pages that hold nothing: {nothing}")


def pasted(scene: RGB, photo: RGB, share: float, random: np.random.Generator) -> tuple[RGB, NDArray[np.float64]]:
    """The photo in the scene, turned by up to 15 degrees and saved as JPEG of quality 70; its outline in shares."""
    height, width = scene.shape[:2]
    tall, wide = photo.shape[:2]
    size = np.sqrt(share * height * width / (tall * wide))
    angle = random.uniform(-0.26, 0.26)
    spin = size * np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    corners = (np.array([(0, 0), (wide, 0), (wide, tall), (0, tall)]) - (wide / 2, tall / 2)) @ spin.T
    reach = np.abs(corners).max(axis=0)
    middle = [random.uniform(min(r, s / 2), max(s - r, s / 2)) for r, s in zip(reach, (width, height), strict=True)]
    corners = corners + middle
    source = np.array([(0, 0), (wide, 0), (wide, tall), (0, tall)], np.float32)
    matrix = cv2.getPerspectiveTransform(source, corners.astype(np.float32))
    smooth = cv2.GaussianBlur(photo, (0, 0), max(0.4 / size, 0.3)) if size < 0.7 else photo
    laid = cv2.warpPerspective(smooth, matrix, (width, height))
    mask = cv2.warpPerspective(np.full((tall, wide), 255, np.uint8), matrix, (width, height)) > 127
    page = np.where(mask[..., None], laid, scene)
    _, data = cv2.imencode(".jpg", page[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 70))
    return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), corners / (width, height)


# --- time


def speed(lab: Lab) -> None:
    """Verification of a pair from bytes as the collection keeps them; finding the features of a picture."""
    paths = sorted((lab.data / "kodak24").glob("*.png")) + sorted((lab.data / "copydet-kodak/queries/crop70").glob("*"))
    pictures = [work_image(lab.picture(p)) for p in paths]
    finding = [_timed(lambda p=p: len(find_features(p))) for p in pictures[:24]]
    found = [find_features(p) for p in pictures]
    assert all(len(one) for one in found)  # looked for now, not while a pair is verified
    pairs = [(i, j) for i in range(24) for j in (i, (i + 1) % 24, (i + 7) % 24)]
    times = [_timed(lambda i=i, j=j: verify(found[24 + i], found[j])) for i, j in pairs]
    print(f"### Time on one core, 512 px\n\nverifying a pair, features cached: median {np.median(times):.1f} ms, "
          f"95% {np.quantile(times, 0.95):.1f} ms; finding features: {np.median(finding):.0f} ms")  # fmt: skip


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - started)


# --- which local features


def detectors(lab: Lab) -> None:
    """SIFT, ORB and, where OpenCV has it (before 5), AKAZE: true inliers, and the time to find and match."""
    makers = {"SIFT, 600": lambda: cv2.SIFT.create(nfeatures=600, contrastThreshold=0.02)}
    makers["ORB, 600"] = lambda: cv2.ORB.create(nfeatures=600)
    if hasattr(cv2, "AKAZE_create"):
        makers["AKAZE"] = cv2.AKAZE_create
    random = np.random.default_rng(4)
    photos = [work_image(lab.picture(p)) for p in sorted((lab.data / "kodak24").glob("*.png"))][:12]
    edits = ("jpeg", "resize", "crop", "rotate", "perspective", "caption", "blur", "noise", "screenshot", "paste")
    print("### Local features: pairs with at least 12 inliers of a homography, of 120 copies and 120 strangers\n")
    print("| detector | copies | strangers | median inliers | ms to find | ms to match |\n|---|---|---|---|---|---|")
    jobs = [(i, EDITS[name].apply(p, float(random.uniform(0.3, 1)), i)) for i, p in enumerate(photos) for name in edits]
    for name, make in makers.items():
        report_detector(name, make(), photos, jobs)


def report_detector(name: str, detector: object, photos: Sequence[RGB], jobs: Sequence[tuple[int, RGB]]) -> None:
    binary = not name.startswith("SIFT")
    find = lambda image: detector.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None)  # noqa: E731
    originals = [find(p) for p in photos]
    found, strangers, inliers, finding, fitting = 0, 0, [], [], []
    for i, image in jobs:
        started = time.perf_counter()
        features = find(work_image(image))
        finding.append(1000 * (time.perf_counter() - started))
        started = time.perf_counter()
        inliers.append(_inliers(features, originals[i], binary=binary))
        fitting.append(1000 * (time.perf_counter() - started))
        found += inliers[-1] >= 12
        strangers += _inliers(features, originals[(i + 1) % len(photos)], binary=binary) >= 12
    times = f"{np.median(finding):.0f} | {np.median(fitting):.1f}"
    print(f"| {name} | {found} | {strangers} | {np.median(inliers):.0f} | {times} |", flush=True)


def _inliers(first: tuple, second: tuple, *, binary: bool) -> int:
    (points, a), (others, b) = first, second
    if a is None or b is None or len(a) < 4 or len(b) < 2:
        return 0
    matcher = cv2.BFMatcher(cv2.NORM_HAMMING if binary else cv2.NORM_L2)
    good = [m for m, *n in matcher.knnMatch(a, b, k=2) if n and m.distance < 0.8 * n[0].distance]
    if len(good) < 4:
        return 0
    source = np.float32([points[m.queryIdx].pt for m in good])
    target = np.float32([others[m.trainIdx].pt for m in good])
    _, mask = cv2.findHomography(source, target, cv2.USAC_MAGSAC, 5.0)
    return 0 if mask is None else int(mask.sum())


def stack(subjects: Sequence[Subject]) -> Vectors:
    return np.stack([s.vector for s in subjects])


if __name__ == "__main__":
    main()
