"""Training a detector: samples, batches, targets, steps and the run."""
