"""The decorator that makes a function a chex assertion."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import chex

try:
    # Private: chex has no public decorator.
    from chex._src.asserts_internal import chex_assertion as _of_chex
except ImportError:
    _of_chex = None


def chex_assertion(check: Callable[..., None]) -> Callable[..., None]:
    """Makes a check that raises AssertionErrors an assertion like chex's own.

    The assertion also takes chex's keywords (custom_message, custom_message_format_vars,
    include_default_message, exception_type), its messages begin like those of chex, and
    ``chex.disable_asserts()`` disables it.
    """
    return _by_public_names(check) if _of_chex is None else _of_chex(check, None)


def _by_public_names(check: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(check)
    def assertion(
        *args: Any,
        custom_message: str | None = None,
        custom_message_format_vars: Sequence[Any] = (),
        include_default_message: bool = True,
        exception_type: type[Exception] = AssertionError,
        **kwargs: Any,
    ) -> None:
        if _are_disabled():
            return
        try:
            check(*args, **kwargs)
        except AssertionError as error:
            name = f"Assertion {check.__name__} failed: " if include_default_message else ""
            text = f"[Chex] {name}{str(error).split('failed:', 1)[-1]}"
            if custom_message:
                text += f" [{custom_message.format(*custom_message_format_vars)}]"
            raise exception_type(text) from None

    return assertion


def _are_disabled() -> bool:
    try:
        chex.assert_equal(0, 1)
    except AssertionError:
        return False
    return True
