"""Decode file bytes to upright RGB within limits, in child processes where a decoder may crash."""
