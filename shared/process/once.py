"""What is imported or made when it is first needed: each once and one at a time, whichever threads ask first.

Two threads that import modules of one cycle at the same moment can find them half imported, and two threads that find a
cache empty both make what belongs there. So imports inside functions stand under `importing`, clients under `once`, and
both are the same lock. Nothing that waits for a network may run under it.
"""

import importlib
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# A reentrant lock: what is made under it imports under it.
importing = threading.RLock()

# What the SDKs and the standard library import at their first request, in whichever threads make it.
_IMPORTED_BY_REQUESTS = (
    "_strptime",
    "azure.core.pipeline.transport._requests_basic",
    "azure.core.rest._http_response_impl",
    "azure.core.rest._requests_basic",
    "azure.core.utils._pipeline_transport_rest_shared",
    "email.generator",
    "encodings.idna",
    "encodings.utf_8_sig",
)


class Once(Generic[T]):
    """A function whose answer for the same arguments is made once. What it raises is not kept."""

    def __init__(self, make: Callable[..., T]) -> None:
        self._make = make
        self._made: dict[tuple[Any, ...], T] = {}
        self.__doc__ = make.__doc__

    def __call__(self, *arguments: Any) -> T:
        try:
            return self._made[arguments]  # without the lock, which an import may hold for seconds
        except KeyError:
            with importing:
                if arguments not in self._made:
                    self._made[arguments] = self._make(*arguments)
                return self._made[arguments]

    def made(self) -> list[T]:
        """What there is by now."""
        return list(self._made.values())

    def forget(self) -> None:
        """The next call makes it anew."""
        self._made.clear()


def once(make: Callable[..., T]) -> Once[T]:
    """Decorates a function that makes what a process keeps: a client, a credential, a pool of threads."""
    return Once(make)


def import_what_requests_import() -> None:
    """To be called before a client of an Azure SDK is made, so that the first requests of several threads import nothing."""
    with importing:
        for name in _IMPORTED_BY_REQUESTS:
            importlib.import_module(name)
