"""In which order a reader is asked, and the whole queue as columns."""
