"""What the child process of a worker does: detection, mining, evaluation and export; may load torch."""
