"""ONNX models as one native call, with a memory plan that is proved before anything runs."""

__version__ = "0.1.0"
