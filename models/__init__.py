"""What networks are and what they compute. Whatever imports ONNX Runtime comes by here first: its telemetry never starts.

The library's builds report their use to its maker and keep an id of the machine, unless this is set before they are imported.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
