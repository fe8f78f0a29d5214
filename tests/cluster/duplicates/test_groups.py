"""Groups, over pictures that are letters and a relation that is a set of pairs."""

from lookalike.cluster.duplicates.groups import Group, make_groups
from lookalike.cluster.duplicates.keep import Keep
from lookalike.cluster.duplicates.rows import Picture


def groups_of(sizes: dict[str, int], near: set[str], copies: set[str], reference: str = "") -> list[str]:
    """Pictures by name, each as wide as told; pairs such as "ab". Groups as "keep:extras"."""
    names = list(sizes)
    pictures = [Picture(id=n, path=f"/{n}", width=w, height=1, reference=n in reference) for n, w in sizes.items()]

    def related(pairs: set[str], a: int, b: int) -> bool:
        return names[a] + names[b] in pairs or names[b] + names[a] in pairs

    found: list[Group] = make_groups(
        pictures,
        lambda a: [b for b in range(len(names)) if b != a and related(near, a, b)],
        lambda a, others: [b for b in others if related(copies, a, b)],
        Keep("largest"),
    )
    return [f"{names[g.keep]}:{''.join(names[e] for e in g.extras)}" for g in found]


def test_a_chain_is_not_a_group() -> None:
    """b is a copy of a, c of b, d of c: only b goes with a, and c is no extra of a."""
    chain = {"ab", "bc", "cd"}
    assert groups_of({"a": 9, "b": 8, "c": 7, "d": 6}, chain, chain) == ["a:b", "c:d"]


def test_a_copy_found_by_way_of_another_is_held_against_the_kept_one() -> None:
    near = {"ab", "bc"}
    assert groups_of({"a": 9, "b": 8, "c": 7}, near, {"ab", "bc", "ac"}) == ["a:bc"]
    assert groups_of({"a": 9, "b": 8, "c": 7}, near, {"ab", "bc"}) == ["a:b"]


def test_the_best_is_kept_and_extras_follow_in_its_order() -> None:
    every = {"ab", "ac", "bc"}
    assert groups_of({"a": 1, "b": 3, "c": 2}, every, every) == ["b:ca"]


def test_each_picture_is_in_one_group_only() -> None:
    every = {"ac", "bc", "ad"}
    assert groups_of({"a": 9, "b": 8, "c": 7, "d": 6}, every, every) == ["a:cd"]


def test_a_reference_is_kept_before_larger_ones_and_never_an_extra() -> None:
    every = {"ab", "ac", "bc"}
    assert groups_of({"a": 9, "b": 8, "c": 1}, every, every, reference="c") == ["c:ab"]
    assert groups_of({"a": 9, "b": 8, "c": 1}, every, every, reference="bc") == ["b:a"]


def test_near_is_not_enough() -> None:
    assert groups_of({"a": 9, "b": 8}, {"ab"}, set()) == []
