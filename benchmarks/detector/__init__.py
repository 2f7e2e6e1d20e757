"""What a detection costs, and what its common crop changes."""
