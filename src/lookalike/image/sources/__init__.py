"""Where image files come from: folders, globs, archives, manifests, lists."""
