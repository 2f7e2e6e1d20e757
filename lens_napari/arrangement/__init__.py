"""Where the docks of a window lie: the standard arrangement, and the one that a reader left it with."""
