"""The networks of a project: versions of its detector, and what it embeds lesions with."""
