"""Takes a GPT-like language model apart, layer by layer.

From a notebook: `load` a model, read a text through the `lens`, `trace` a prompt, `open` what the pipeline
wrote. Importing this imports nothing large; each of the four brings what it needs when it is first used.
"""

from importlib import import_module
from inspect import Signature, signature
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strata.notebook.lens import lens
    from strata.notebook.load import load
    from strata.notebook.open import open
    from strata.notebook.trace import trace

__version__ = "0.4.0"
__all__ = ["lens", "load", "open", "trace"]


def __getattr__(name: str) -> Any:
    if name in ("lens", "trace"):  # packages, which can be called
        return import_module(f"{__name__}.{name}")
    if name in __all__:
        return _from_notebook(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _from_notebook(name: str) -> Any:
    return getattr(import_module(f"{__name__}.notebook.{name}"), name)


class CallablePackage(ModuleType):
    """A package that is called as the function of its name in `strata.notebook`.

    Python sets a package as an attribute of the one around it, in the place of whatever had that name.
    """

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._function(*args, **options)

    @property
    def __signature__(self) -> Signature:
        return signature(self._function)

    @property
    def _function(self) -> Any:
        return _from_notebook(self.__name__.rpartition(".")[2])
