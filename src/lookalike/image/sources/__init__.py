"""Find and read image files in folders, globs, archives, manifests and lists."""
