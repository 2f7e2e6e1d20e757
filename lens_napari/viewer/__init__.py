"""What touches napari: layers, display, keys and work in the background."""
