"""The experiment behind the product's claim: what a reader decides makes the next detector better."""
