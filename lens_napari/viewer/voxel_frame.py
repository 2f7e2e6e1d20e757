"""How a volume `[z, y, x]` lies in napari; needs neither Qt nor napari."""

AXIS_LABELS = ("z", "y", "x")
UNITS = ("mm", "mm", "mm")
VOXEL_CENTRE = 0.5
"""napari puts the centre of voxel i at i; our boxes are voxel edges, where voxel i covers [i, i + 1)."""
