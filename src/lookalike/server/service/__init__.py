"""What routes work with: the collection in memory, batching, jobs, files on disk."""
