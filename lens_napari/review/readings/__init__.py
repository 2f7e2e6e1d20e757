"""Reading for the test set without a screen: what is left, what was marked, places to settle, words; no Qt."""
