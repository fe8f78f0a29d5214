"""Images on their way into training: read once into a cache, altered, put into batches. No torch here."""
