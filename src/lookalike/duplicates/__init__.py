"""Altered copies of a collection: found, grouped around the one to keep, decided upon, taken away and taken back."""

from lookalike.duplicates.files.apply import Action, Applied, Left, apply_steps, parse_action
from lookalike.duplicates.files.plan import plan_steps
from lookalike.duplicates.files.undo import Undone, undo
from lookalike.duplicates.keep.keep_choices import Chosen, KeepChoice, as_keep_choice
from lookalike.duplicates.keep.rules import Keep
from lookalike.duplicates.review.accepted import accepted_groups
from lookalike.duplicates.review.decisions import Decision, Decisions, as_decision
from lookalike.duplicates.search.find import Duplicates, Options, find_duplicates

__all__ = [
    "Action",
    "Applied",
    "Chosen",
    "Decision",
    "Decisions",
    "Duplicates",
    "Keep",
    "KeepChoice",
    "Left",
    "Options",
    "Undone",
    "accepted_groups",
    "apply_steps",
    "as_decision",
    "as_keep_choice",
    "find_duplicates",
    "parse_action",
    "plan_steps",
    "undo",
]
