"""Training of the false-positive reduction: the detector's own findings on training scans, told apart (spec 4.6)."""
