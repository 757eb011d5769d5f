"""What Python reads of the native extension: kernel rows, the machine as a Target."""

from arenaut.ir.evaluate import evaluate_in
from arenaut.native.floats import KernelFloats

evaluate_in(KernelFloats)
