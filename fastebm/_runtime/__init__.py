"""What every long call shares: threads, pacing, memory forecasts, progress, checkpoints, argument
checks and results."""
