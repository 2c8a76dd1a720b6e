"""Training of the detector and of the classifier."""
