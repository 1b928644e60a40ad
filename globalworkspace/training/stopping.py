"""SIGTERM and Ctrl-C: a run that is asked to leave saves at the end of its step, then leaves.

A second signal does not wait: the process ends there and then, and the newest checkpoint is what
there is to go on from.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class LeaveSignals:
    """While entered, notes the first SIGINT or SIGTERM instead of dying of it.

    Signals reach the main thread only; elsewhere, or with `listen` false, nothing is changed.

    Args:
        listen: Whether to.
        first: Whether this process speaks for the others.
    """

    def __init__(self, *, listen: bool, first: bool = True) -> None:
        self.listen = listen and threading.current_thread() is threading.main_thread()
        self.first = first
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> LeaveSignals:
        if self.listen:
            for number in SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            os._exit(128 + number)
        self.received = number
        if self.first:
            name = signal.Signals(number).name
            _say(f"{name}: saving after this step; once more ends it at once, unsaved.")

    def leave(self, message: str) -> None:
        """End the process as it was asked to: 130 after SIGINT, 143 after SIGTERM.

        Raises:
            KeyboardInterrupt: After SIGINT, with the message.
            SystemExit: Else; the message has been written to stderr.
        """
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt(message)
        if self.first:
            _say(message)
        raise SystemExit(128 + signal.SIGTERM)


def left_at(step: int, steps: int, folder: Path) -> str:
    """What to say of a run that was left."""
    return (
        f'Stopped after step {step} of {steps}, which is saved in "{folder}". Run the same again '
        "to go on from there."
    )


def _say(message: str) -> None:
    print(f"\n{message}", file=sys.stderr, flush=True)
