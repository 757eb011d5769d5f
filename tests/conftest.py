import sys
from pathlib import Path

from hypothesis import settings

# Helpers that tests share live beside them; importlib mode does not put their folders on the path.
for folder in ("..", "", "kernels", "report", "ir", "frontend", "passes"):
    sys.path.insert(0, str(Path(__file__).parent / folder))

# Timing is not what property tests are about, and machines are shared.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
