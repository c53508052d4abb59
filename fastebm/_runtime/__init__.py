"""What every long call shares: threads, pacing, memory forecasts, progress, checkpoints, validation and results."""
