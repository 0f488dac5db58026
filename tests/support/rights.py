"""What a forked process may do and see, where the test is root's."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

CLONE_NEWNS = 0x00020000
CAPABILITIES_VERSION = 0x20080522
DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2  # to pass over the modes of files


def be_bound_by_modes() -> None:
    """Let the modes of files bind this thread, and those it starts, as they do other people; does nothing to those."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable ones, the first 32 and the others
    _check(libc.capget(header, sets), "capget")
    for index in range(3):
        sets[index] &= ~(1 << DAC_OVERRIDE | 1 << DAC_READ_SEARCH)
    _check(libc.capset(header, sets), "capset")


def bound_by_modes(work: Callable[[], T]) -> T:
    """Do it as someone whom the modes of files bind, in a thread of its own, and return what it returns."""

    def bound() -> T:
        be_bound_by_modes()
        return work()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(bound).result()


def enter_mounts(pid: int) -> None:
    """Let this process see the mounts of another."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
    try:
        _check(libc.setns(descriptor, CLONE_NEWNS), "setns")
    finally:
        os.close(descriptor)


def _check(result: int, what: str) -> None:
    if result:
        raise OSError(ctypes.get_errno(), what)
