"""The detector family: parts, their assembly, and what turns its output into findings."""
