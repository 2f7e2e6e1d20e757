"""The review without a screen: the session, its lesions and words, and the project behind them; no Qt."""
