"""Shared by all commands of the project: strict configs, atomic files, logging, progress."""
