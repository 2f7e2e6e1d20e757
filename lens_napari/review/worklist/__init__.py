"""The list of lesions, however long: what of it a reader wants to see, in which order, and each line as text."""
