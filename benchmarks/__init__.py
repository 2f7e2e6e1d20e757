"""Speed and memory, each as a ratio against a baseline that is timed in the same run."""
