"""Training tiles of annotated images in TFRecord files, as a Beam job: `python -m model.datagen`."""
