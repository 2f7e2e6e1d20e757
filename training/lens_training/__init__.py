"""Data sets, targets, losses, fitting and recipes for the detectors of `lens_engine`."""
