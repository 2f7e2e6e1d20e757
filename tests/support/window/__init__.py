"""What a reader sees and presses."""
