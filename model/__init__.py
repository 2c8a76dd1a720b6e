"""The detector's life: its network, data, training, measuring, and the packaged weights. Knows no Beam."""
