"""The napari plugin: what the radiologist sees. It never loads torch."""
