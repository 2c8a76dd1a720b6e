"""`python -m pipeline.monitor` with a fake model that can hang or kill its process; see `tests.pipeline.fake_run`."""

import sys

from pipeline import model_loading
from pipeline.monitor.__main__ import main
from tests.pipeline import fake_run

if __name__ == "__main__":
    model_loading.describe_model = fake_run._describe_model
    setattr(model_loading, "load_predictor", lambda *_, **__: fake_run.FailingPredictor())  # noqa: B010 - imported there
    sys.exit(main())
