"""A method of a class, watched at class level, in peace with whoever else patches the same method.

The watcher is a context manager around each call: it is told the result, and can neither change it nor the exception.
Opening and closing in any order loses nobody's patch: a layer that others have built upon cannot be pulled out, so it
falls silent in its place. At most one layer of a seam is awake, so nothing is seen twice.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

Watch = Callable[[Any, tuple[Any, ...], dict[str, Any]], AbstractContextManager[Callable[[Any], None]]]


class Seam:
    """`watch(instance, args, kwargs)` is entered around each call of `owner.name` while the seam is open."""

    def __init__(self, owner: type, name: str, watch: Watch, *, is_async: bool = False) -> None:
        self._owner, self._name, self._watch, self._is_async = owner, name, watch, is_async
        self._layer: _Layer | None = None

    def open(self) -> None:
        """Watches from now on, as the outermost of all patches. Again is as good as once."""
        if self._layer is not None and self._layer.is_outermost():
            self._layer.awake = True
            return
        if self._layer is not None:
            self._layer.awake = False
        self._layer = _Layer(self._owner, self._name, self._watch, self._is_async)

    def close(self) -> None:
        """Watches no more; takes its layer off if nobody has built upon it."""
        if self._layer is None:
            return
        self._layer.awake = False
        if self._layer.is_outermost():
            self._layer.take_off()
            self._layer = None


class _Layer:
    """One wrapper, put on when made. A method the class only inherits is looked up at each call, not kept."""

    def __init__(self, owner: type, name: str, watch: Watch, is_async: bool) -> None:
        self.owner, self.name, self.watch, self.awake = owner, name, watch, True
        self.below = vars(owner).get(name)
        self.function = functools.wraps(getattr(owner, name))(self._async() if is_async else self._sync())
        setattr(owner, name, self.function)

    def is_outermost(self) -> bool:
        return vars(self.owner).get(self.name) is self.function

    def take_off(self) -> None:
        if self.below is None:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, self.below)

    def _target(self, instance: Any) -> Callable[..., Any]:
        if self.below is None:
            found: Callable[..., Any] = getattr(super(self.owner, instance), self.name)
            return found
        bind = getattr(self.below, "__get__", None)
        bound: Callable[..., Any] = self.below if bind is None else bind(instance, type(instance))
        return bound

    def _sync(self) -> Callable[..., Any]:
        def watched(instance: Any, *args: Any, **kwargs: Any) -> Any:
            if not self.awake:
                return self._target(instance)(*args, **kwargs)
            with self.watch(instance, args, kwargs) as tell:
                result = self._target(instance)(*args, **kwargs)
                tell(result)
            return result

        return watched

    def _async(self) -> Callable[..., Any]:
        async def watched(instance: Any, *args: Any, **kwargs: Any) -> Any:
            if not self.awake:
                return await self._target(instance)(*args, **kwargs)
            with self.watch(instance, args, kwargs) as tell:
                result = await self._target(instance)(*args, **kwargs)
                tell(result)
            return result

        return watched
