"""Inputs to scenes: patterns, lists and folders (`resolve`), and STAC (`stac`)."""
