"""What the review costs a reader: the picture, the list, the counts beside the button."""
