"""Reading and writing of raster files; the only package that opens them."""
