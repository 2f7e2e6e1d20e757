"""From a volume to boxes and findings: whole volumes at once, and the plain reference."""
