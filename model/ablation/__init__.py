"""An ablation study: trainings that differ in one change each, and what each change gains."""
