"""Annotated images, their splits, and batches to train on."""
