"""The demo: a project of phantom patients, and an unattended journey through the whole loop that proves it."""
