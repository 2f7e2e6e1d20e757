"""A module for each group of verbs; its `VERBS` maps what the user types to what it does."""
