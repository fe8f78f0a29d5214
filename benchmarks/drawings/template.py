"""What every kind of picture has: a layout drawn once, content to fill in, and ways to change the content."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from benchmarks.drawings.phrases import Random, chance
from lookalike.types import RGB

Content = dict[str, Any]  # never changed in place
Change = Callable[[Content, Random], Content]


class Template(ABC):
    """One layout. `x_height` is that of the smallest text that matters, in pixels; 0 where there is none."""

    medium: ClassVar[str]  # paper, screen or photo: how such a picture is copied
    color_matters: ClassVar[bool] = False  # where only the color differs, a copy must keep it
    x_height: float = 0.0

    @abstractmethod
    def content(self, random: Random) -> Content: ...

    @abstractmethod
    def draw(self, content: Content) -> RGB: ...

    @abstractmethod
    def changes(self) -> Mapping[str, tuple[float, Change]]:
        """What may differ between two contents: its name, how often, and the function that makes the second."""

    def changed(self, content: Content, random: Random) -> tuple[Content, str]:
        options = self.changes()
        weights = [weight for weight, _ in options.values()]
        name = list(options)[int(random.choice(len(weights), p=[w / sum(weights) for w in weights]))]
        for _ in range(50):
            new = options[name][1](content, random)
            if repr(new) != repr(content):
                return new, name
        raise ValueError(f"{type(self).__name__}: {name!r} changed nothing in 50 attempts")


def change_rows(new_row: Callable[[Random], Any], count: str) -> Change:
    """A change of one, several (2 to half) or all rows."""

    def change(content: Content, random: Random) -> Content:
        rows = list(content["rows"])
        several = min(int(random.integers(2, max(len(rows) // 2, 2) + 1)), len(rows))
        number = {"one": 1, "several": several, "all": len(rows)}[count]
        for i in random.permutation(len(rows))[:number]:
            old = rows[i]
            rows[i] = next(row for row in iter(lambda: new_row(random), None) if row != old)
        return {**content, "rows": tuple(rows)}

    return change


def after(*changes: Change) -> Change:
    """All of the changes, one after another."""

    def change(content: Content, random: Random) -> Content:
        for part in changes:
            content = part(content, random)
        return content

    return change


def mostly(random: Random) -> bool:
    return chance(random, 0.6)
