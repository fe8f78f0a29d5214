"""Parsers for file formats that no maintained library reads completely or safely enough."""
