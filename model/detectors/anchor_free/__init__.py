"""The anchor-free detector: the one that is packaged."""
