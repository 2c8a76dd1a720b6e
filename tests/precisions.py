"""What numbers the packaged model computes in, for tests that hold its results to bounds."""

import pytest

from model.inference.engine import resolve_precision

#: Marks tests that compute in bfloat16.
needs_bfloat16 = pytest.mark.skipif(
    resolve_precision("auto") != "bfloat16", reason="this processor has no instructions for bfloat16"
)
#: float32 everywhere; bfloat16 where it is fast enough to be tested, and where it is what users get.
PRECISIONS = [pytest.param("float32", id="float32"), pytest.param("bfloat16", id="bfloat16", marks=needs_bfloat16)]
