"""Opens, reads and writes raster files: the only package that reads pixels."""
