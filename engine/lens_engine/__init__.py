"""Everything LENS-napari knows without a screen: volumes, findings, detection, mining, storage and jobs."""
