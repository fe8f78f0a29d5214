"""Do two aligned images show the same content? Regions that differ, overlays, text, recolored objects."""
