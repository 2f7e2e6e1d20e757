"""Readings of the test set: who annotated which series completely, where two readers differ, and what is true then."""
