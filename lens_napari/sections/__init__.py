"""Coronal and sagittal sections beside the axial picture, and the marked lesion that a candidate is said to be."""
