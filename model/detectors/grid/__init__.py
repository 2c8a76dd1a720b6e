"""The talk's detector: YOLO on a grid, with square boxes."""

from model.detectors.grid import assignment, losses, network

__all__ = ["assignment", "losses", "network"]
