"""A collection on disk or in an object store, kept by Lance."""
