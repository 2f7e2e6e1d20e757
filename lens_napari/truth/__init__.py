"""What of the boxes on screen is true, false and missed, on series whose truth is complete."""
