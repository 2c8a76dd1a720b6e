"""The talk's detector: YOLO on a grid, with square boxes."""
