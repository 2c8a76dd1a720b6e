"""From what was typed after --input to scenes."""
