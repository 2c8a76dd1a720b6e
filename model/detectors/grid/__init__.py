"""The talk's detector: YOLO on a grid, with square boxes."""

from model.detectors.grid import losses, network

__all__ = ["losses", "network"]
