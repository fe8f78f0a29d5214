"""Local features, matching and the transform that lays one image over another."""
