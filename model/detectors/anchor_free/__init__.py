"""The anchor-free detector: the one that is packaged."""

from model.detectors.anchor_free import losses, network

__all__ = ["losses", "network"]
