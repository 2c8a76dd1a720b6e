"""Rasters, coordinates, tiles and boxes: everything geometric, without TensorFlow or Beam."""
