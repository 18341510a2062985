"""transformers' models imported without torch's compiler and the losses of object detectors.

Any model of transformers' imports the whole of ``torch._dynamo``, for three decorators that matter to compiled code
alone, and SciPy's optimizers and torchvision, for losses. Both wait here until somebody compiles or detects
(see `mech_music.base.stand_ins`). This is for the release that it was written for; another is imported as it is.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import version
from types import ModuleType
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from mech_music.base.stand_ins import StandIn, stand_ins

_RELEASE = "5.23.0"
_COMPILER = "torch._dynamo"
_LOSSES = [
    "d_fine",
    "deformable_detr",
    "deimv2",
    "for_object_detection",
    "grounding_dino",
    "lw_detr",
    "rf_detr",
    "rt_detr",
]
_WAITING = (
    _COMPILER,
    f"{_COMPILER}._trace_wrapped_higher_order_op",
    f"{_COMPILER}.utils",
    *(f"transformers.loss.loss_{name}" for name in _LOSSES),
)
_INITIALIZERS = ("torch.nn.init", "transformers.initialization")  # while it loads a model, the latter are the former
_in_graph: list[Callable[..., Any]] = []


@cache
def import_models() -> None:
    """Import what all models of transformers' share. Any of them, imported later, finds it there."""
    if "transformers.modeling_utils" in sys.modules or version("transformers") != _RELEASE:
        return
    with stand_ins(_WAITING):
        if isinstance(compiler := sys.modules[_COMPILER], StandIn):
            _give_decorators(compiler)
        import transformers.models.t5.modeling_t5  # noqa: F401


class outlines_left_empty(TorchFunctionMode):
    """Within, ``torch.nn.init`` leaves tensors without content (on the meta device) as they are.

    transformers makes a model as such an outline before it reads the weights; to draw none for it loads
    the compiler.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensor = kwargs.get("tensor", args[0] if args else None)
        if getattr(func, "__module__", None) in _INITIALIZERS and isinstance(tensor, Tensor) and tensor.is_meta:
            return tensor
        return func(*args, **kwargs)


def _give_decorators(compiler: Any) -> None:
    """Those of the compiler that are used at import, without it; they mean the same to what is compiled later."""
    compiler.disable, compiler.assume_constant_result = _disable, _assume_constant_result
    compiler.allow_in_graph = _allow_in_graph
    sys.meta_path.insert(0, _OnceLoaded())


def _disable(fn: Callable[..., Any] | None = None, recursive: bool = True, **why: Any) -> Callable[..., Any]:
    if fn is None:
        return functools.partial(_disable, recursive=recursive, **why)

    @functools.wraps(fn)
    def not_compiled(*args: Any, **kwargs: Any) -> Any:
        compiler = sys.modules.get(_COMPILER)
        if compiler is None or isinstance(compiler, StandIn):
            return fn(*args, **kwargs)
        return compiler.disable(fn, recursive, **why)(*args, **kwargs)

    return not_compiled


def _assume_constant_result(fn: Any) -> Any:
    fn._dynamo_marked_constant = True
    return fn


def _allow_in_graph(fn: Any) -> Any:
    _in_graph.append(fn)
    return fn


class _OnceLoaded(MetaPathFinder):
    """Tells the compiler, when somebody does import it, of what was decorated before."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _COMPILER:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path)
        assert spec is not None and spec.loader is not None
        run = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            for fn in _in_graph:
                module.allow_in_graph(fn)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
