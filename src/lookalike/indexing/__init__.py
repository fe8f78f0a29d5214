"""Bring a collection up to date with its sources: plan, decode and embed, commit."""
