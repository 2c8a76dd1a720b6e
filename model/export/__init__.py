"""Export of a model as a SavedModel, a frozen graph and ONNX, each checked against the Keras model."""
