"""A rarer run of Python's cyclic garbage collector in every process of our Ray. Never does anything else.

Python imports this at its start, from the PYTHONPATH that `deploy/ray/local_ray.py` gives to Ray's processes. Imports
create objects that stay. To look through them again and again takes a tenth of the time of `import ray.serve` (2.2 s
against 1.9 to 2.1), and ten such processes start at once. A `sitecustomize` that was found before is imported too.
"""

import gc
import importlib.machinery
import importlib.util
import sys
from pathlib import Path

YOUNG_OBJECTS = 50_000  # by default 700

gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])

_here = str(Path(__file__).parent)
_spec = importlib.machinery.PathFinder.find_spec("sitecustomize", [place for place in sys.path if place != _here])
if _spec is not None and _spec.loader is not None:
    _spec.loader.exec_module(importlib.util.module_from_spec(_spec))
