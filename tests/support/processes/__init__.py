"""What tests start, wait for and end."""
