"""Random models, run by arenaut, onnx.reference and onnxruntime: python -m tests.random --help"""
