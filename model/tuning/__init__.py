"""The search for the settings of a training that do best."""
