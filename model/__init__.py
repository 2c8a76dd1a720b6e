"""The detector's life: its network, data, training, measuring, and the packaged weights. Knows no Beam."""

import os
import sys

# TensorFlow reads this when it loads, in whatever process that is. By itself it uses oneDNN from AVX-512 VNNI on; on
# other processors, too, it makes TensorFlow twice as fast.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# TensorFlow has an SQLite of its own, without R-trees. This module of it would have all other libraries use that one as
# well, and GDAL would write GeoPackages without a spatial index. Where the module cannot be imported, TensorFlow keeps
# its symbols to itself; only custom operations, which nothing here loads, need them.
sys.modules.setdefault("tensorflow.python.pywrap_dlopen_global_flags", None)  # type: ignore[arg-type]
