"""The whole series at a glance: projections from the front and from the side with every lesion on them."""
