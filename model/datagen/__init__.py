"""Tiles of annotated photos to TFRecord files, as a Beam job: `python -m model.datagen`."""
