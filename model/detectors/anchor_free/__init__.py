"""The anchor-free detector: the one that is packaged."""

from model.detectors.anchor_free import assignment, losses, network

__all__ = ["assignment", "losses", "network"]
