"""The detector's life: its network, data, training, measuring, and the packaged weights. Knows no Beam."""

import os

# TensorFlow reads this when it loads, in whatever process that is. By itself it uses oneDNN from AVX-512 VNNI on; on
# other processors, too, it makes TensorFlow twice as fast.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
