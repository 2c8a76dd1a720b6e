"""Models on disk, models that run, calibrated scores, and the scan of a scene."""
