"""Training of the lesion embedding: LesaNet where its label files are there, a stated fallback elsewhere.

See algorithms 5.8.
"""
