"""Annotation files of every supported kind, in and out."""
