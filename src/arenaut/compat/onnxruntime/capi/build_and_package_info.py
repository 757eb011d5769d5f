"""Name and version of the package."""

from arenaut.compat.onnxruntime.facts import API_VERSION as __version__

package_name = "onnxruntime"

__all__ = ["__version__", "package_name"]
