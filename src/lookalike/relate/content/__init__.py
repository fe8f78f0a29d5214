"""Compare the contents of two aligned images: regions that differ, added marks, text, recolored objects."""
