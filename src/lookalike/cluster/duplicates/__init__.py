"""Altered copies of a collection: found, grouped around the one to keep, decided upon, taken away and taken back."""

from lookalike.cluster.duplicates.accepted import accepted_groups
from lookalike.cluster.duplicates.apply import Action, Applied, Left, apply_steps, parse_action
from lookalike.cluster.duplicates.chosen import Chosen, KeepChoice, as_keep_choice
from lookalike.cluster.duplicates.decisions import Decision, Decisions, as_decision
from lookalike.cluster.duplicates.find import Duplicates, Options, find_duplicates
from lookalike.cluster.duplicates.keep import Keep
from lookalike.cluster.duplicates.planning import plan_steps
from lookalike.cluster.duplicates.undo import Undone, undo

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
