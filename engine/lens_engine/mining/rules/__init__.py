"""The three mining rules of LENS, each on arrays: what it says about one series (spec 5.1 to 5.3)."""
