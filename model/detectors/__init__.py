"""The networks: one package for each kind of detector, and the registry that knows them all."""

#: Sides and corners of tiles are multiples of this: the stride of the coarsest features.
INPUT_MULTIPLE = 32
