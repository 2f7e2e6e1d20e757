"""Where labelled scans come from: published data sets, label snapshots, or phantom patients made in memory."""
