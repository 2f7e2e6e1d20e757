"""What `lens recipe run` does: data, training, measuring, and the published row beside the result."""
