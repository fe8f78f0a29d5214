"""Groups under review: the page, decisions, kinds of copies, JSON and CSV export."""
