"""The three mining rules of LENS, each on arrays: what it says about one series (algorithms 5.1 to 5.3)."""
