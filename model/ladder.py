"""The former name of `model.ablation`: `python -m model.ladder` says so and runs it."""

import runpy
import sys

if __name__ == "__main__":
    print("python -m model.ladder is now python -m model.ablation", file=sys.stderr)
    runpy.run_module("model.ablation", run_name="__main__", alter_sys=True)
