"""What is asked of a database before a project works on it: its revision, and where the project lies."""
