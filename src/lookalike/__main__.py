"""python -m lookalike: the command line."""

from lookalike.cli.entry import run

run()
