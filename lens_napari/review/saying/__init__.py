"""What a reader says of a lesion beside his verdict: his own words, the RECIST axes, and how that is confirmed."""
