"""The commands of `python -m lens_training`."""
