"""Rasters, coordinates, tiles and boxes: everything that knows where things are, and nothing that learns."""
