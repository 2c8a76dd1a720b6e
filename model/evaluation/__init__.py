"""Evaluation of detectors: predictions on data sets, metrics, tables and the result page."""
