"""The recipes, one YAML file each, and what reads them."""
