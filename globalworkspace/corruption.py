"""The augmentation `corruption`: some rows lose one of their domains to something else.

What a fused state is decoded to stays clean, so that a selection learns whom not to believe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from globalworkspace.augmentation import Augmentation, noise_like, partners, shaken
from globalworkspace.errors import ConfigError
from globalworkspace.latents import LatentSpec
from globalworkspace.moving import onto

KINDS = ("noise", "other", "blank")


class Corruption(Augmentation):
    """Corrupts one domain of a share of the rows; targets stay clean.

    * `"noise"`: Gaussian noise is added to its continuous parts and the values of its sequences;
    * `"other"`: they are those of another row of the group;
    * `"blank"`: they are 0: the mean of continuous columns, no class, an empty sequence.

    A group of one domain is left as it is: nothing else would tell what it was.

    Args:
        kinds: Of which one is drawn for each corrupted row.
        share: Of the rows.
        scale: Standard deviation of the noise, in standard units: each row's is drawn from 0 to it.

    Raises:
        ConfigError: If a setting is out of range.

    Example:
        >>> rows = {"a": torch.ones(4, 1), "b": torch.ones(4, 1)}
        >>> specs = {name: LatentSpec.continuous(1) for name in rows}
        >>> view = Corruption(["blank"], share=1.0).apply(rows, specs, torch.Generator())
        >>> (view["a"] + view["b"]).flatten().tolist()
        [1.0, 1.0, 1.0, 1.0]
    """

    def __init__(
        self, kinds: Sequence[str] = ("noise",), share: float = 0.5, scale: float = 4.0
    ) -> None:
        unknown = [kind for kind in kinds if kind not in KINDS]
        if isinstance(kinds, str) or unknown or not kinds:
            raise ConfigError(f"kinds={kinds!r} must be a list of some of {', '.join(KINDS)}.")
        if not 0 < share <= 1:
            raise ConfigError(f"share={share} must lie in (0, 1].")
        if not scale > 0:
            raise ConfigError(f"scale={scale} must be above 0.")
        self.kinds, self.share, self.scale = tuple(kinds), share, scale

    def apply(
        self,
        latents: Mapping[str, Tensor],
        specs: Mapping[str, LatentSpec],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """See `Augmentation.apply`."""
        if len(latents) < 2:
            return dict(latents)
        some = next(iter(latents.values()))
        number, device = len(some), some.device
        drawn = onto(torch.rand(number, 4, generator=generator), device)
        another = onto(partners(number, generator), device)
        hit = drawn[:, 0] < self.share
        which = (drawn[:, 1] * len(latents)).long()
        kind = (drawn[:, 2] * len(self.kinds)).long()
        view = {}
        for index, (name, values) in enumerate(latents.items()):
            shown = values
            for k, each in enumerate(self.kinds):
                if each == "noise":
                    level = self.scale * drawn[:, 3:].to(values.dtype)
                    made = shaken(values, specs[name], level * noise_like(values, generator))
                else:
                    made = values[another] if each == "other" else torch.zeros_like(values)
                here = hit & (which == index) & (kind == k)
                shown = torch.where(here[:, None], made, shown)
            view[name] = shown
        return view
