"""What an administrator does for a project: backup, restore, a look at whether everything is intact, roles."""
