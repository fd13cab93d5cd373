"""The files of the benchmark find each other as the scripts that they are, also when tests import them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

collect_ignore_glob = ["test_*.py"] if sys.platform == "win32" else []  # the benchmark's servers stand on uvloop
