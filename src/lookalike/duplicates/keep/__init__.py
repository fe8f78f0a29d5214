"""Which image of a group is kept: rules, and a check that it is the original."""
