"""Projects with something in them."""
