"""Trained models as predictors: loading, calibration, and a whole scene through a predictor."""
