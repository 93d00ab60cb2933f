"""What makes every process of our Ray start faster: a rarer collection of garbage, and Serve without pandas.

Python imports this at its start, from the PYTHONPATH that `deploy/ray/local_ray.py` gives to Ray's processes. Ten such
processes start at once, and most of their time is `import ray.serve`:

- Imports create objects that stay. To look through them again and again takes a tenth of the time.
- Serve imports pandas for the one case that a deployment answers with a table, which none of ours does, and does
  without where it is not installed. It takes two fifths of the time, and 66 MB in each process.

A `sitecustomize` that was found before is imported too.
"""

import builtins
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

YOUNG_OBJECTS = 50_000  # by default 700
IMPORTS_PANDAS = "ray.serve._private.utils"

gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the one module of Serve that imports pandas."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != IMPORTS_PANDAS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _LoaderWithoutPandas(fullname, spec.loader.path)
        return spec


class _LoaderWithoutPandas(importlib.machinery.SourceFileLoader):
    """Loads a module for which pandas is not installed; for every other module it is."""

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import_without_pandas}
        super().exec_module(module)


def _import_without_pandas(name: str, *more: Any) -> ModuleType:
    if name == "pandas":
        raise ModuleNotFoundError("pandas is left out of this module, see sitecustomize.py", name=name)
    return __import__(name, *more)


sys.meta_path.insert(0, _Finder())

_here = str(Path(__file__).parent)
_spec = importlib.machinery.PathFinder.find_spec("sitecustomize", [place for place in sys.path if place != _here])
if _spec is not None and _spec.loader is not None:
    _spec.loader.exec_module(importlib.util.module_from_spec(_spec))
