"""Small things to learn from, and networks that learnt."""
