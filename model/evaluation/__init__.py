"""What `model.evaluate` measures, and how it shows it."""
