"""Images sent by clients: validated, decoded in child processes, turned into query vectors."""
