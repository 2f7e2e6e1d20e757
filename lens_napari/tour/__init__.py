"""The tour through the review for whoever sees it for the first time."""
