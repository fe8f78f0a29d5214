"""What made_pictures draws with: fonts, phrases, layouts of each kind of picture, and degradations."""
