"""File formats whose headers or samples no maintained library reads completely or safely enough."""
