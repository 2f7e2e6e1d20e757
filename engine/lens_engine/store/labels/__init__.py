"""What training and measuring are told: the role of every label, complete truth, and frozen snapshots."""
