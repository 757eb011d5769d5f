"""`python -m bench`: the `arenaut` command that also knows the zoo by name, and PyTorch as an engine.

python -m bench bench magika --engines arenaut,onnxruntime,torch
python -m bench report light-squeezenet
"""

from bench import subjects  # noqa: F401, I001 (registers the zoo before the commands read what there is)
from arenaut.cli import main

main()
