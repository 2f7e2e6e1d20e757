"""Boxes that a reader changes or draws, and lengths that he measures."""
