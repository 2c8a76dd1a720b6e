"""A detector for other programs: as a SavedModel, a frozen graph and ONNX, each checked before it is handed over."""
