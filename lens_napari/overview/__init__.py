"""The whole series at a glance: projections from the front, the side and the feet with every lesion on them."""
