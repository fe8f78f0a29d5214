"""Of the edited copies in a folder, which pairs do we find, at what cost, and which does a peer (`immaculate`) find?

`python -m benchmarks.duplicates_peers FOLDER --peer-python PYTHON3.12 --methods pdq sscd_distilled sscd`

Files named alike before "__" are true pairs (`12__orig.jpg`, `12__crop.jpg`). Every tool tells groups, and each pair
inside a group counts as found. `immaculate` is no part of this project: install it into a Python 3.12 of its own with
`pip install 'immaculate[sscd]==0.3.*'`. It tells no scores and takes no threshold, so it has one point to measure; ours
is also cut at each probability told (`--ours --probability 0.1`, last, has it tell lower ones).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from pathlib import Path

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")  # what all the tools read

CHILD = """
import resource, subprocess, sys, time
begun = time.perf_counter()
code = subprocess.run(sys.argv[1:]).returncode
wall = time.perf_counter() - begun
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, file=sys.stderr)
sys.exit(code)
"""  # a parent of its own for each command: the peak of RUSAGE_CHILDREN is the largest of all children so far

Group = list[tuple[str, float]]  # names, each with the probability that it belongs to the first


@dataclass(frozen=True, kw_only=True)
class Cost:
    wall: float  # seconds
    cpu: float
    peak: float  # MB

    def __str__(self) -> str:
        return f"{self.wall:.1f} | {self.cpu:.1f} | {self.peak:.0f}"


@dataclass(frozen=True, kw_only=True)
class Found:
    right: int
    wrong: int
    true: int

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0

    @property
    def recall(self) -> float:
        return self.right / self.true if self.true else 1.0

    @property
    def f1(self) -> float:
        return 2 * self.right / (self.right + self.wrong + self.true) if self.true else 1.0

    def __str__(self) -> str:
        pairs = f"{self.right + self.wrong:,} | {self.wrong:,}"
        return f"{pairs} | {self.precision:.4%} | {self.recall:.2%} | {self.f1:.2%}"


def photo_of(name: str) -> str:
    return Path(name).name.split("__")[0]


def edit_of(name: str) -> str:
    return Path(name).stem.partition("__")[2]


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.suffix.lower() in ENDINGS]


def true_pairs(names: Iterable[str]) -> int:
    return sum(comb(count, 2) for count in Counter(map(photo_of, names)).values())


def timed(command: Sequence[str]) -> tuple[str, Cost]:
    """What the command printed, and what it cost. Raises CalledProcessError with its last words shown."""
    done = subprocess.run([sys.executable, "-c", CHILD, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise subprocess.CalledProcessError(done.returncode, command)
    wall, cpu, peak = map(float, done.stderr.splitlines()[-1].split())
    return done.stdout, Cost(wall=wall, cpu=cpu, peak=peak)


def weight(folder: Path) -> float:
    """MB of the files in the folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def judged(groups: Iterable[Group], true: int) -> Found:
    right = wrong = 0
    for group in groups:
        same = true_pairs(name for name, _ in group)
        right, wrong = right + same, wrong + comb(len(group), 2) - same
    return Found(right=right, wrong=wrong, true=true)


def cut(groups: Iterable[Group], threshold: float) -> list[Group]:
    return [[one for one in group if one[1] >= threshold] for group in groups]


def best_without_error(groups: Sequence[Group], true: int) -> tuple[float, float]:
    """The best recall of a threshold at which no pair is wrong, and that threshold."""
    thresholds = sorted({probability for group in groups for _, probability in group})
    for threshold in thresholds:  # recall only falls as it rises
        found = judged(cut(groups, threshold), true)
        if not found.wrong:
            return found.recall, threshold
    return 0.0, 1.0


def peer_groups(printed: str) -> list[Group]:
    told = json.loads(printed)
    return [[(path, 1.0) for path in group] for group in told["exact"] + told["near"]]


def our_groups(printed: str) -> list[Group]:
    groups = []
    for told in map(json.loads, printed.splitlines()):
        extras = [(extra["path"], extra["probability"]) for extra in told["extras"]]
        groups.append([(told["keep"]["path"], 1.0), *extras])
    return groups


def recall_by_edit(groups: Iterable[Group], names: Iterable[str]) -> dict[str, float]:
    """The share of an edit's true pairs that were found, of those with any other file of its photo."""
    found, there = Counter[str](), Counter[str]()
    for counts, files in ((there, [list(names)]), (found, [[name for name, _ in group] for group in groups])):
        for group in files:
            by_photo = defaultdict(list)
            for name in group:
                by_photo[photo_of(name)].append(edit_of(name))
            for edits in by_photo.values():
                counts.update(edit for edit in edits for _ in range(len(edits) - 1))
    return {edit: found[edit] / count for edit, count in sorted(there.items())}


def wrong_pairs(groups: Iterable[Group]) -> list[tuple[str, str]]:
    pairs = (pair for group in groups for pair in combinations(sorted(Path(name).name for name, _ in group), 2))
    return [(one, other) for one, other in pairs if photo_of(one) != photo_of(other)]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A tool on a folder: its commands, what each cost, the groups, and MB of the collection after each command."""

    name: str
    costs: dict[str, Cost]
    groups: list[Group]
    sizes: tuple[float, ...] = ()

    @property
    def cost(self) -> Cost:
        costs = self.costs.values()
        return Cost(
            wall=sum(cost.wall for cost in costs),
            cpu=sum(cost.cpu for cost in costs),
            peak=max(cost.peak for cost in costs),
        )


def measure_peer(folder: Path, python: str, method: str) -> Measured:
    printed, cost = timed([python, "-m", "immaculate", str(folder), "--json", "--method", method])
    return Measured(name=f"immaculate {method}", costs={method: cost}, groups=peer_groups(printed))


def measure_ours(folder: Path, arguments: Sequence[str]) -> Measured:
    ours = [sys.executable, "-m", "lookalike"]
    with tempfile.TemporaryDirectory() as place:
        collection = Path(place) / "c"
        _, indexing = timed([*ours, "index", str(folder), "-c", str(collection)])
        before = weight(collection)
        printed, finding = timed([*ours, "duplicates", "-c", str(collection), "--json", *arguments])
        sizes = (before, weight(collection))
    costs = {"index": indexing, "duplicates": finding}
    return Measured(name="lookalike", costs=costs, groups=our_groups(printed), sizes=sizes)


def row(tool: Measured, true: int) -> str:
    found = judged(tool.groups, true)
    recall, threshold = best_without_error(tool.groups, true)
    if tool.sizes:
        best = f"{recall:.2%} (at {threshold:.3f})"
    else:
        best = "tells no scores" if found.wrong else f"{recall:.2%} (its only threshold)"
    return f"| {tool.name} | {tool.cost} | {found} | {best} |"


def print_commands(tool: Measured) -> None:
    print(f"\n| {tool.name} | wall s | CPU s | peak MB | collection after it, MB |\n|---|---|---|---|---|")
    for (verb, cost), size in zip(tool.costs.items(), tool.sizes, strict=True):
        print(f"| {verb} | {cost} | {size:.1f} |")


def print_edits(tools: Sequence[Measured], names: Sequence[str]) -> None:
    tables = [recall_by_edit(tool.groups, names) for tool in tools]
    print(f"\n| found of an edit's true pairs | {' | '.join(tool.name for tool in tools)} |")
    print(f"|---|{'---|' * len(tools)}")
    for edit in tables[0] if tables else ():
        print(f"| {edit} | {' | '.join(f'{table[edit]:.1%}' for table in tables)} |")


def print_wrong(tools: Sequence[Measured], count: int) -> None:
    for tool in tools:
        for pair in wrong_pairs(tool.groups)[:count]:
            print(f"{tool.name}, wrong: {' '.join(pair)}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--peer-python", help="a Python that has immaculate; without it only ours is measured")
    parser.add_argument("--methods", nargs="*", default=["pdq", "sscd_distilled", "sscd"])
    parser.add_argument("--skip-ours", action="store_true")
    parser.add_argument("--ours", nargs=argparse.REMAINDER, default=[], help="last: more for lookalike duplicates")
    parser.add_argument("--show-wrong", type=int, default=0, metavar="N", help="print so many wrong pairs of each tool")
    return parser.parse_args()


def measurements(asked: argparse.Namespace) -> Iterator[Measured]:
    for method in asked.methods if asked.peer_python else ():
        yield measure_peer(asked.folder, asked.peer_python, method)
    if not asked.skip_ours:
        yield measure_ours(asked.folder, asked.ours)


def main() -> None:
    asked, tools = arguments(), []
    names = names_in(asked.folder)
    true = true_pairs(names)
    print(f"{asked.folder.name}: {len(names):,} files of {len(set(map(photo_of, names))):,} photos, ", end="")
    print(f"{true:,} true pairs, {os.cpu_count()} cores\n")
    print("| method | wall s | CPU s | peak MB | pairs | wrong | precision | recall | F1 | recall of no wrong pair |")
    print(f"|{'---|' * 10}")
    for tool in measurements(asked):
        tools.append(tool)
        print(row(tool, true), flush=True)
    for tool in tools:
        if tool.sizes:
            print_commands(tool)
    print_edits(tools, names)
    print_wrong(tools, asked.show_wrong)


if __name__ == "__main__":
    main()
