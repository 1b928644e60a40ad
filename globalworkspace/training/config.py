"""Settings of a training run."""

from __future__ import annotations

from typing import Literal

import attrs
from attrs import validators as v


@attrs.frozen(kw_only=True)
class TrainerConfig:
    """How a workspace is trained; the defaults suit hundreds to thousands of matched rows."""

    steps: int = attrs.field(default=4000, validator=v.ge(1))
    """Optimiser steps."""
    batch_size: int = attrs.field(default=256, validator=v.ge(2))
    """Matched rows per step, shared among the matched groups (each at most what it has)."""
    unmatched_batch_size: int = attrs.field(default=128, validator=v.ge(0))
    """Rows per domain and step for the routes that need no match; 0: none."""
    learning_rate: float = attrs.field(default=3e-3, validator=v.gt(0))
    """Peak of the schedule."""
    weight_decay: float = attrs.field(default=0.1, validator=v.ge(0))
    """AdamW's, on weight matrices only."""
    schedule: Literal["cosine", "onecycle", "constant"] = attrs.field(
        default="cosine", validator=v.in_(("cosine", "onecycle", "constant"))
    )
    """`cosine`: after warm-up a half cosine to 1 %; `onecycle`: OneCycleLR's shape; `constant`."""
    warmup: float = attrs.field(default=0.05, validator=[v.ge(0), v.lt(1)])
    """Share of the steps in which the rate rises."""
    clip_norm: float = attrs.field(default=1.0, validator=v.ge(0))
    """Largest gradient norm; 0: no clipping."""
    accumulate: int = attrs.field(default=1, validator=v.ge(1))
    """Batches whose gradients are averaged in one step; each batch is its own set of negatives."""
    ema: float = attrs.field(default=0.995, validator=[v.ge(0), v.lt(1)])
    """Decay of the averaged weights that are validated and kept; 0: the live weights."""
    device: str = "auto"
    """`auto`: the accelerator if there is one; or a torch device."""
    precision: Literal["auto", "fp32", "bf16"] = attrs.field(
        default="auto", validator=v.in_(("auto", "fp32", "bf16"))
    )
    """`auto`: bf16 autocast on a GPU that has it, else fp32."""
    compile: bool = False
    """torch.compile the whole step: from the second one on, and after half a minute or more. Where
    that cannot be done, a message says why and the networks are compiled one by one."""
    seed: int = 0
    """Of batches, dropout and selection."""
    validate_every: int = attrs.field(default=250, validator=v.ge(1))
    """Steps between validations."""
    log_every: int = attrs.field(default=50, validator=v.ge(1))
    """Steps between lines of the metrics log."""
    checkpoint_every: int = attrs.field(default=1000, validator=v.ge(1))
    """Steps between checkpoints, where there is a run folder."""
    keep: Literal["best", "last"] = attrs.field(default="best", validator=v.in_(("best", "last")))
    """Which weights the workspace holds in the end; `best` needs validation rows."""
    nonfinite: Literal["raise", "skip", "rollback"] = attrs.field(
        default="raise", validator=v.in_(("raise", "skip", "rollback"))
    )
    """What to do where a loss or gradient is NaN or infinite; such a step is never taken. `raise`:
    an error names the family, the domain and the rows; `skip`: go on with the next step;
    `rollback`: go back to the newest checkpoint and pass over the batches since."""
    unsaved: Literal["stop", "continue"] = attrs.field(
        default="stop", validator=v.in_(("stop", "continue"))
    )
    """What to do where a checkpoint or a line of the log cannot be written (no space, say)."""
    progress: bool = True
    """Show a bar."""
