"""The chip classifier of the talk."""

#: Side of a chip, pixels.
SIDE_PX = 20
