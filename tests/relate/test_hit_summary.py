"""The summary of a search: it says that nothing is a copy exactly if no hit is one, and what the nearest hits are."""

from itertools import product

import pytest

from lookalike.relate import Evidence, Verdict, summarize_hits
from lookalike.relate.facts import summary_facts
from lookalike.relate.words.sentences import summary_sentence
from lookalike.types import Relation


def verdicts(*relations: Relation, copy: float = 0.05) -> list[Verdict]:
    return [
        Verdict(relation=relation, probability=1.0, copy=copy, expected_false_matches=None, evidence=Evidence())
        for relation in relations
    ]


@pytest.mark.parametrize("relations", list(product(Relation, repeat=2)))
def test_a_copy_is_never_denied_and_its_absence_always_stated(relations: tuple[Relation, Relation]) -> None:
    summary = summarize_hits(verdicts(*relations))
    copies = sum(str(relation) in ("copy", "identical") for relation in relations)
    undecided = sum(str(relation) == "cannot tell" for relation in relations)
    assert (summary.judged, summary.copies, summary.undecided) == (2, copies, undecided)
    assert summary.nothing_is_a_copy == (copies == 0 and undecided < 2)
    words = summary_sentence(summary)
    assert ("nothing here is a copy" in words) == summary.nothing_is_a_copy
    assert ("cannot be judged" in words) == (copies == 0 and undecided == 1)
    assert bool(words) == (not copies)


@pytest.mark.parametrize(
    ("strongest", "words"),
    [
        (Relation.UNRELATED, "no match: nothing here is a copy; none of the hits is related to the query"),
        (Relation.RELATED, "nothing here is a copy; the nearest are only alike"),
        (Relation.SAME_OBJECT, "nothing here is a copy; the nearest show the same object"),
        (Relation.VARIANT, "nothing here is a copy; the nearest have the same layout or source, with other content"),
        (Relation.CANNOT_TELL, "no match: none of the hits can be judged"),
    ],
)
def test_the_nearest_hits_in_words(strongest: Relation, words: str) -> None:
    assert summary_sentence(summarize_hits(verdicts(strongest))) == words


def test_hits_that_cannot_be_judged_are_excepted() -> None:
    summary = summarize_hits(verdicts(Relation.CANNOT_TELL, Relation.RELATED, Relation.UNRELATED))
    assert summary_sentence(summary).endswith("the nearest are only alike; 1 of 3 hits cannot be judged")
    assert summary_facts(summary) == {"judged": 3, "copies": 0, "possible": 0, "undecided": 1, "strongest": "related"}


def test_hits_that_may_be_copies_are_counted() -> None:
    summary = summarize_hits([*verdicts(Relation.VARIANT, copy=0.6), *verdicts(Relation.UNRELATED)])
    assert (summary.possible, summary.copies) == (1, 0)
    words = summary_sentence(summary)
    assert words.startswith("nothing here is proven to be a copy")
    assert words.endswith("1 of 2 hits may be one")
    assert summarize_hits(verdicts(Relation.COPY, Relation.CANNOT_TELL, copy=0.8)).possible == 0


def test_no_hits_are_no_statement() -> None:
    summary = summarize_hits([])
    assert not summary.nothing_is_a_copy
    assert not summary_sentence(summary)
