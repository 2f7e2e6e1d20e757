"""Where training samples come from: series of a label snapshot, or phantom patients made in memory."""
