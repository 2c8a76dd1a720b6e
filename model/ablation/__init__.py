"""The talk's ladder: trainings that differ in one idea each, run one after the other, and what each idea is worth."""
