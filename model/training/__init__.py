"""Resumable training of the detector and of the classifier."""
