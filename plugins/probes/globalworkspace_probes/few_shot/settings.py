"""What a few-shot comparison is made of; the defaults are those of its page."""

from __future__ import annotations

from typing import Literal

import attrs
from attrs import validators as v

Mode = Literal["joint", "frozen"]


@attrs.frozen(kw_only=True)
class FewShotSettings:
    """How episodes are drawn and arms are trained."""

    ways: int = attrs.field(default=5, validator=v.ge(2))
    """Classes of an episode."""
    shots: int = attrs.field(default=5, validator=v.ge(1))
    """Support rows of each."""
    queries: int = attrs.field(default=5, validator=v.ge(1))
    """Query rows of each."""
    runs: int = attrs.field(default=5, validator=v.ge(2))
    """Trainings of each arm; each with its own split of the classes, first weights and episodes."""
    steps: int = attrs.field(default=300, validator=v.ge(1))
    """Of Adam, the rate falling to 0 as a half cosine."""
    episodes_per_step: int = attrs.field(default=2, validator=v.ge(1))
    """As in the paper."""
    test_episodes: int = attrs.field(default=300, validator=v.ge(2))
    """Of each run."""
    validations: int = attrs.field(default=5, validator=v.ge(1))
    """How often a training is judged by episodes of validation classes; the best weights count."""
    validation_episodes: int = attrs.field(default=100, validator=v.ge(1))
    """Of each of these."""
    width: int = attrs.field(default=64, validator=v.ge(1))
    """Of the embedding and of the blocks."""
    num_blocks: int = attrs.field(default=2, validator=v.ge(1))
    """Blocks of the embedder."""
    learning_rate: float = attrs.field(default=3e-3, validator=v.gt(0))
    """The first, of all networks."""
    clip_norm: float = attrs.field(default=1.0, validator=v.gt(0))
    """Largest norm of a gradient, as in the paper."""
    mode: Mode = attrs.field(default="frozen", validator=v.in_(("joint", "frozen")))
    """`frozen`: an own auxiliary network learns before the embedder; `joint`: beside it."""
    auxiliary_loss: str = "squared"
    """`squared`, `cosine` or `soft-margin`."""
    auxiliary_weight: float = attrs.field(default=1.0, validator=v.ge(0))
    """Of that loss beside the prototypical one, in joint mode."""
    auxiliary_detached: bool = False
    """Whether, in joint mode, the language alone trains the auxiliary network's features."""
    seed: int = 0
    """Of everything."""

    @property
    def rows_needed(self) -> int:
        """Rows that an episode takes of a class."""
        return self.shots + self.queries
