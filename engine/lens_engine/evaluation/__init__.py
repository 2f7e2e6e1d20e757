"""Every protocol and report of measuring detectors; the curve itself is `lens_engine.evaluation.froc`."""
