import sys
from pathlib import Path

# Helpers that tests share live beside them; importlib mode does not put their folders on the path.
for folder in ("..", "", "kernels", "report", "ir", "frontend", "passes"):
    sys.path.insert(0, str(Path(__file__).parent / folder))
