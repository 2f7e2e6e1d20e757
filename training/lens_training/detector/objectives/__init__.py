"""What each part of a detector should say, and how far off it is: one module for each proposal network and the head."""
