"""Weights on disk: checkpoints, published weights, and the demo model that ships."""
