"""Training of the false-positive reduction: the detector's own findings on training scans, told apart.

See algorithms 4.6.
"""
