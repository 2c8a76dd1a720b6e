"""The chip classifier of the talk."""

#: Side of the chips that it classifies, pixels.
SIDE_PX = 20
