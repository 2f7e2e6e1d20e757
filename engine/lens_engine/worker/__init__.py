"""The process that works through a project's queue; each job gets a child process, so it never loads torch."""
