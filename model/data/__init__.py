"""Annotated photos to training batches."""
