"""The convolution variants, one file each; a new file here fits the ``conv`` of every block.

Importing the package imports every file of it, which makes the variants known by name.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
