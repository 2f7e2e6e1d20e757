"""The published data sets in the layouts they come in: what they hold, what is odd, and the cases they give."""
