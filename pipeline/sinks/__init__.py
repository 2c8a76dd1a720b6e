"""Where airplanes go: files that appear whole or not at all, and tables in memory."""
