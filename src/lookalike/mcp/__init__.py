"""A collection as tools of the Model Context Protocol, for assistants that search images. Needs the extra `mcp`."""
