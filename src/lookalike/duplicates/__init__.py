"""Duplicates of a collection: find altered copies, group them around the image to keep, review, remove and restore."""

from typing import TYPE_CHECKING

from lookalike.deprecation import renamed
from lookalike.duplicates.files.apply import Action, ApplyResult, SkippedFile, apply_steps, parse_action
from lookalike.duplicates.files.plan import plan_steps
from lookalike.duplicates.files.undo import UndoResult, undo
from lookalike.duplicates.keep.keep_choices import KeepChoice, KeepChoices, as_keep_choice
from lookalike.duplicates.keep.rules import Keep
from lookalike.duplicates.review.accepted import accepted_groups
from lookalike.duplicates.review.decisions import Decision, Decisions, as_decision
from lookalike.duplicates.search.find import Duplicates, Options, find_duplicates

__all__ = [
    "Action",
    "ApplyResult",
    "Decision",
    "Decisions",
    "Duplicates",
    "Keep",
    "KeepChoice",
    "KeepChoices",
    "Options",
    "SkippedFile",
    "UndoResult",
    "accepted_groups",
    "apply_steps",
    "as_decision",
    "as_keep_choice",
    "find_duplicates",
    "parse_action",
    "plan_steps",
    "undo",
]

if not TYPE_CHECKING:
    __getattr__ = renamed(
        __name__,
        {"Applied": "ApplyResult", "Chosen": "KeepChoices", "Left": "SkippedFile", "Undone": "UndoResult"},
    )
