"""What every training run shares, whatever network it trains: processes, progress, checkpoints, stopping."""
