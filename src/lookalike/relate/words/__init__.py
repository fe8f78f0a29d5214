"""Verdicts in words: what was done to one image to get the other, and reports."""
