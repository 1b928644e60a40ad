"""What a latent is made of: named parts, how each is compared, and in which units.

A latent is one float tensor `(B, D)`; a `LatentSpec` says what its columns mean. Four kinds of
part:

* continuous: real values; loss is squared error in standardised units;
* categorical: one-hot over `size` classes; predicted as logits; loss is cross-entropy;
* circular: `size` angles, each as (cos, sin); loss is 1 - cos of the angle between prediction and
  target;
* sequence: `length` positions of `size` real values and a mask (1: something is there, 0: padding);
  loss is the squared error averaged over the positions that are there, and the cross-entropy of the
  mask.

The workspace's networks read and write *standard* latents: continuous columns are standardised with
statistics of the training latents and those without variance are left out, so that a dead dimension
is not blown up to noise of unit size.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalworkspace.data.cells import LazyLatents
from globalworkspace.errors import DomainError

PartKind = Literal["continuous", "categorical", "circular", "sequence"]
DEAD_VARIANCE = 1e-3
"""A continuous dimension whose variance is below this share of the median variance is dead."""

# softmax of an exact class puts > 0.9999 on it (see `exact_prediction`), and
# the sigmoid of an exact mask is within 1e-5 of it
_EXACT_LOGIT = 12.0
_STRETCH = 65_536
"""Rows whose statistics are added up at once."""


@attrs.frozen(kw_only=True)
class Part:
    """A named stretch of latent columns.

    Args:
        name: Unique within the latent.
        size: Continuous: number of dimensions. Categorical: number of classes. Circular: number of
            angles. Sequence: values per position.
        kind: `"continuous"`, `"categorical"`, `"circular"` or `"sequence"`.
        length: Sequence: the largest number of positions; else 1.
        interpolable: Whether a mean of two values is again a plausible value.
    """

    name: str
    size: int = attrs.field(validator=attrs.validators.ge(1))
    kind: PartKind = attrs.field(
        default="continuous",
        validator=attrs.validators.in_(("continuous", "categorical", "circular", "sequence")),
    )
    length: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    interpolable: bool = attrs.field()

    @length.validator
    def _sequences_only(self, _: Any, length: int) -> None:
        if length != 1 and self.kind != "sequence":
            raise DomainError(
                f'Part "{self.name}" has length {length}, and only a part of kind "sequence" has '
                "more than one position."
            )

    @interpolable.default
    def _continuous_only(self) -> bool:
        return self.kind == "continuous"

    @property
    def dim(self) -> int:
        """Latent columns this part takes."""
        if self.kind == "sequence":
            return self.length * (self.size + 1)
        return 2 * self.size if self.kind == "circular" else self.size

    @property
    def num_components(self) -> int:
        """Terms this part adds to a loss.

        Its dimensions, its angles, one for a class, or a position's values and mask.
        """
        if self.kind == "sequence":
            return self.size + 1
        return 1 if self.kind == "categorical" else self.size


def _parts(parts: Iterable[Part]) -> tuple[Part, ...]:
    return tuple(parts)


@attrs.frozen
class LatentSpec:
    """The parts of a latent, in column order.

    Example:
        >>> shape = Part(name="shape", size=3, kind="categorical")
        >>> spec = LatentSpec((shape, Part(name="size", size=1)))
        >>> spec.dim
        4
    """

    parts: tuple[Part, ...] = attrs.field(converter=_parts)

    @parts.validator
    def _check(self, _: Any, parts: tuple[Part, ...]) -> None:
        names = [part.name for part in parts]
        if not parts or len(set(names)) != len(names):
            raise DomainError(
                f"A latent needs at least one part and unique part names; got {names}."
            )

    @classmethod
    def continuous(cls, dim: int, name: str = "latent") -> LatentSpec:
        """A latent of one continuous part of `dim` dimensions."""
        return cls((Part(name=name, size=dim),))

    @property
    def dim(self) -> int:
        """Number of latent columns D."""
        return sum(part.dim for part in self.parts)

    def slices(self) -> dict[str, slice]:
        """Part name -> its columns."""
        ends, start = {}, 0
        for part in self.parts:
            ends[part.name] = slice(start, start + part.dim)
            start += part.dim
        return ends

    def split(self, latents: Tensor) -> dict[str, Tensor]:
        """(B, D) -> part name -> (B, part.dim)."""
        if len(self.parts) == 1:
            return {self.parts[0].name: latents}
        return {name: latents[:, columns] for name, columns in self.slices().items()}

    def activate(self, predictions: Tensor) -> Tensor:
        """Turn raw predictions (B, D) into latents: softmax of logits, angles on the unit circle.

        In sequences the mask becomes a probability, and values fade with it.

        Applied before a prediction is encoded again, so that no encoder is fed logits. Gradients
        flow.
        """
        if all(part.kind == "continuous" for part in self.parts):
            return predictions
        pieces = []
        for part, values in zip(self.parts, self.split(predictions).values(), strict=True):
            if part.kind == "categorical":
                values = values.softmax(dim=1)
            elif part.kind == "circular":
                values = F.normalize(values.unflatten(1, (part.size, 2)), dim=2, eps=1e-6).flatten(
                    1
                )
            elif part.kind == "sequence":
                raw, logits = unpack_sequence(values, part.size)
                values = _pack(raw, logits.sigmoid())
            pieces.append(values)
        return torch.cat(pieces, dim=1)

    def loss(
        self, predictions: Tensor, targets: Tensor, part_weights: Mapping[str, float] | None = None
    ) -> Tensor:
        """Compare raw predictions with latents, both (B, D) in standard units.

        Each component (a continuous dimension, a class, an angle; in a sequence each value of a
        position and its mask, meant over positions) adds its term; the result is their weighted
        mean, so that 1 is about the error of a constant guess whatever the latent.

        Args:
            predictions: (B, D), logits in categorical columns.
            targets: (B, D).
            part_weights: Part name -> weight of each of its components (default 1).

        Returns:
            (B,) values; gradients flow to the predictions.
        """
        terms, weight_sum = [], 0.0
        predicted, wanted = self.split(predictions), self.split(targets)
        for part in self.parts:
            weight = 1.0 if part_weights is None else float(part_weights.get(part.name, 1.0))
            guess, truth = predicted[part.name], wanted[part.name]
            if part.kind == "continuous":
                value = (guess - truth).square().sum(dim=1)
            elif part.kind == "categorical":
                value = -(truth * guess.log_softmax(dim=1)).sum(dim=1)
            elif part.kind == "sequence":
                value = _sequence_loss(guess, truth, part.size)
            else:
                pairs = F.normalize(guess.unflatten(1, (part.size, 2)), dim=2, eps=1e-6)
                value = (1 - (pairs * truth.unflatten(1, (part.size, 2))).sum(dim=2)).sum(dim=1)
            terms.append(value if weight == 1 else weight * value)
            weight_sum += weight * part.num_components
        return sum(terms[1:], start=terms[0]) / max(weight_sum, 1e-12)

    def exact_prediction(self, targets: Tensor) -> Tensor:
        """The raw prediction (B, D) that is exactly right for `targets`; its loss is below 1e-3."""
        pieces = []
        for part, values in zip(self.parts, self.split(targets).values(), strict=True):
            if part.kind == "categorical":
                values = values * (_EXACT_LOGIT + math.log(part.size))
            elif part.kind == "sequence":
                blocks = values.unflatten(1, (-1, part.size + 1))
                logits = (2 * blocks[:, :, -1:] - 1) * _EXACT_LOGIT
                values = torch.cat([blocks[:, :, :-1], logits], dim=2).flatten(1)
            pieces.append(values)
        return torch.cat(pieces, dim=1)

    def without(self, dead: Tensor) -> LatentSpec:
        """The spec of what is left when the continuous columns in `dead` (D,) bool are dropped."""
        parts = []
        for part, columns in zip(self.parts, self.slices().values(), strict=True):
            size = part.size - int(dead[columns].sum()) if part.kind == "continuous" else part.size
            if size:
                parts.append(attrs.evolve(part, size=size))
        return LatentSpec(tuple(parts))

    def to_json(self) -> list[dict[str, Any]]:
        """JSON-able form, read back by `from_json`."""
        return [attrs.asdict(part) for part in self.parts]

    @classmethod
    def from_json(cls, parts: list[dict[str, Any]]) -> LatentSpec:
        """Inverse of `to_json`."""
        return cls(tuple(Part(**part) for part in parts))


def pack_sequence(values: Tensor, mask: Tensor) -> Tensor:
    """The latent columns of a sequence part.

    Args:
        values: (B, L, F).
        mask: (B, L) bool or 0/1; values where it is 0 are set to 0.

    Returns:
        (B, L * (F + 1)): L blocks of F values and the mask.

    Example:
        >>> pack_sequence(torch.ones(1, 2, 1), torch.tensor([[True, False]]))
        tensor([[1., 1., 0., 0.]])
    """
    return _pack(values.where(mask.bool()[:, :, None], 0.0), mask.to(values))


def unpack_sequence(columns: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Inverse of `pack_sequence`: (B, L * (F + 1)) -> values (B, L, F) and mask (B, L)."""
    blocks = columns.unflatten(1, (-1, size + 1))
    return blocks[:, :, :-1], blocks[:, :, -1]


def _pack(values: Tensor, mask: Tensor) -> Tensor:
    return torch.cat([values * mask[:, :, None], mask[:, :, None]], dim=2).flatten(1)


def _sequence_loss(guess: Tensor, truth: Tensor, size: int) -> Tensor:
    """(B,): squared error summed over values and averaged over true positions, and the mask's."""
    predicted, logits = unpack_sequence(guess, size)
    values, mask = unpack_sequence(truth, size)
    errors = (predicted - values).square().sum(dim=2) * mask
    error = errors.sum(dim=1) / mask.sum(dim=1).clamp(min=1)
    return error + F.binary_cross_entropy_with_logits(logits, mask, reduction="none").mean(dim=1)


class Standardizer(nn.Module):
    """Between latents (B, D) and the standard latents (B, A) that the networks see.

    Continuous columns become (value - mean) / std; categorical and circular columns pass unchanged;
    dead continuous columns are dropped on the way in and refilled with their mean on the way out.
    The values of a sequence share the statistics of their positions that are there, and padding
    stays 0.
    The statistics are buffers: they are saved with the workspace.
    """

    mean: Tensor
    std: Tensor
    alive: Tensor

    def __init__(self, spec: LatentSpec, mean: Tensor, std: Tensor, alive: Tensor) -> None:
        super().__init__()
        self.spec = spec
        self.standard_spec = spec.without(~alive)
        self.register_buffer("mean", mean.float())
        self.register_buffer("std", std.float())
        self.register_buffer("alive", alive.bool())
        self._all_alive = bool(alive.all())
        self._sequences = [
            (columns, part.size)
            for part, columns in zip(spec.parts, spec.slices().values(), strict=True)
            if part.kind == "sequence"
        ]

    @classmethod
    def identity(cls, spec: LatentSpec) -> Standardizer:
        """A standardizer that changes nothing, until statistics are known."""
        ones = torch.ones(spec.dim, device="cpu")  # whatever the default: it is read
        return cls(spec, torch.zeros_like(ones), ones, ones.bool())

    @classmethod
    def fit(
        cls, spec: LatentSpec, latents: Tensor | LazyLatents, domain: str = "?"
    ) -> Standardizer:
        """Take statistics from training latents (N, D); warn about dead dimensions.

        Latents in files are read in stretches; a sequence's statistics come from the first of them.

        Raises:
            DomainError: If every continuous dimension is dead and nothing else is left.
        """
        mean, std = _moments(latents)
        continuous = torch.zeros(spec.dim, dtype=torch.bool)
        for part, columns in zip(spec.parts, spec.slices().values(), strict=True):
            continuous[columns] = part.kind == "continuous"
        alive = torch.ones(spec.dim, dtype=torch.bool)
        if continuous.any():
            variances = std.square()
            threshold = DEAD_VARIANCE * variances[continuous].median()
            alive = ~(continuous & ((variances < threshold) | (variances <= 1e-12)))
        if not alive.any():
            raise DomainError(
                f'Domain "{domain}": no latent dimension varies over {len(latents)} training rows. '
                "Check that the rows differ and that encode() depends on its input."
            )
        dead = (~alive).nonzero().flatten().tolist()
        if dead:
            shown = ", ".join(map(str, dead[:8])) + (", …" if len(dead) > 8 else "")
            warnings.warn(
                f'Domain "{domain}": {len(dead)} of {spec.dim} latent dimensions are dead '
                f"(variance under {DEAD_VARIANCE:g} of the median): {shown}. They are left out.",
                stacklevel=2,
            )
        mean = torch.where(continuous, mean, torch.zeros_like(mean))
        std = torch.where(continuous & alive, std, torch.ones_like(std))
        for part, columns in zip(spec.parts, spec.slices().values(), strict=True):
            if part.kind == "sequence":
                values = latents if isinstance(latents, Tensor) else next(latents.split(_STRETCH))
                mean[columns], std[columns] = _sequence_statistics(
                    values[:, columns].double(), part
                )
        return cls(spec, mean, std, alive)

    def standardize(self, latents: Tensor) -> Tensor:
        """Latents (B, D) -> standard latents (B, A)."""
        standard = (latents - self._means(latents)) / self.std
        return standard if self._all_alive else standard[:, self.alive]

    def restore(self, standard: Tensor) -> Tensor:
        """Standard latents (B, A) (activated) -> latents (B, D)."""
        if not self._all_alive:
            full = standard.new_zeros(len(standard), len(self.alive))
            full[:, self.alive] = standard
            standard = full
        return standard * self.std + self._means(standard)

    def _means(self, latents: Tensor) -> Tensor:
        """The mean of each column, (D,), or (B, D) where sequences have positions without one."""
        if not self._sequences:
            return self.mean
        means = self.mean.expand_as(latents).clone()
        for columns, size in self._sequences:
            _, mask = unpack_sequence(latents[:, columns], size)
            blocks, _ = unpack_sequence(means[:, columns], size)
            means[:, columns] = _pack(blocks, mask) - _pack(torch.zeros_like(blocks), mask)
        return means


def _moments(latents: Tensor | LazyLatents) -> tuple[Tensor, Tensor]:
    """Mean and deviation (D,) float64 of the columns, a stretch of rows at a time."""
    count = max(len(latents), 1)
    mean = sum((piece.double().sum(dim=0) for piece in latents.split(_STRETCH)), torch.zeros(()))
    mean = mean / count
    squares = torch.zeros_like(mean)
    for piece in latents.split(_STRETCH):
        squares = squares + (piece.double() - mean).square().sum(dim=0)
    return mean, (squares / count).sqrt()


def _sequence_statistics(columns: Tensor, part: Part) -> tuple[Tensor, Tensor]:
    """Mean and deviation (L * (F + 1),) of a sequence's values; the masks keep 0 and 1."""
    values, mask = unpack_sequence(columns, part.size)
    there = values[mask > 0.5]
    mean, std = values.new_zeros(part.size + 1), values.new_ones(part.size + 1)
    if len(there):
        mean[:-1] = there.mean(dim=0)
        spread = there.std(dim=0, correction=0)
        floor = DEAD_VARIANCE * spread.square().median()
        alive = (spread.square() >= floor) & (spread.square() > 1e-12)
        std[:-1] = torch.where(alive, spread, torch.ones_like(spread))
    return mean.repeat(part.length), std.repeat(part.length)
