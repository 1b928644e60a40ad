"""Random numbers as a pure function of a seed and what they are for."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import torch


def derived_seed(*keys: object) -> int:
    """A 63-bit seed from any printable keys; equal keys give the same seed on every machine."""
    digest = hashlib.blake2b("\0".join(map(str, keys)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def derived_generator(*keys: object) -> torch.Generator:
    """A CPU generator seeded from the keys."""
    return torch.Generator().manual_seed(derived_seed(*keys))


@contextlib.contextmanager
def dropout_of(seed: int, device: torch.device) -> Iterator[None]:
    """Dropout inside is a function of the seed; the process's own generators stay as they are."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed walks all kinds of devices
        if devices:
            torch.cuda.manual_seed(seed)
        yield


class Chance:
    """The randomness of one step: a generator for each purpose, a function of (seed, step).

    Args:
        seed: Of the training.
        step: The step.
    """

    def __init__(self, seed: int, step: int) -> None:
        self.seed, self.step = seed, step

    def generator(self, *purpose: object) -> torch.Generator:
        """The CPU generator of a purpose."""
        return derived_generator(self.seed, self.step, *purpose)


class LastingChance(Chance):
    """The same, with generators that last: what holds them draws the next step's after `move`."""

    def __init__(self, seed: int, step: int) -> None:
        super().__init__(seed, step)
        self._known: dict[tuple[object, ...], torch.Generator] = {}

    def generator(self, *purpose: object) -> torch.Generator:
        """See `Chance.generator`."""
        if purpose not in self._known:
            self._known[purpose] = super().generator(*purpose)
        return self._known[purpose]

    def move(self, step: int) -> None:
        """Seed every generator for another step."""
        self.step = step
        for purpose, generator in self._known.items():
            generator.manual_seed(derived_seed(self.seed, step, *purpose))
