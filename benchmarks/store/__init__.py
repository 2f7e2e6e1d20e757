"""What the database of a project costs: decisions on disk, frozen labels, the log gone over."""
