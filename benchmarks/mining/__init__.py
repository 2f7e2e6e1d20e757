"""What mining costs, and what it asks a reader about on phantoms whose truth is known."""
