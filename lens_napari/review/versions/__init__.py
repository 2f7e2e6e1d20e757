"""The versions of a project as the panels show them: what a retraining learns, what was measured, what came of it."""
