"""What comes into a project from files, and what leaves it: scans, annotations, exports."""
