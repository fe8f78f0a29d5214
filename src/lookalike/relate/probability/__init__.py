"""From evidence to probabilities: the calibration model, how it is fitted and stored."""
