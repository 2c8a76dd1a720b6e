"""Deprecated alias of `model.synthetic`: `python -m geo.render` says so and runs it."""

import runpy
import sys

if __name__ == "__main__":
    print("python -m geo.render is now python -m model.synthetic", file=sys.stderr)
    runpy.run_module("model.synthetic", run_name="__main__", alter_sys=True)
