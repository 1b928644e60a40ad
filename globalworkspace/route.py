"""A route: a path through the workspace, and which of a segment's rows walk it.

Every loss of the paper looks at the end of a route: `{photo} -> caption` (translation), `{photo} ->
photo` (demi-cycle), `{photo} -> caption -> photo` (cycle), `{photo, caption} -> photo` (fused).
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from globalworkspace.data.sampler import Segment
from globalworkspace.errors import ConfigError

Stretch = tuple[int, int, int]
"""(first, length, parts), see `Route`."""


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(names)


def _sorted(hops: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(set(hops)))


@attrs.frozen(cache_hash=True)
class Route:
    """Encode and fuse `sources`, decode to each of `via` and encode again, decode to `target`.

    Args:
        sources: Domains whose codes are fused.
        target: The last decoded domain; None: the route ends in the workspace.
        via: Domains passed through on the way, in order.
        detach_after: Stop gradients after this many of `via` (1: the first intermediate translation
            is a given); None: never.
        view: Name of the augmentation through which the sources are seen; None: as they are.
        kept: Each row fuses these and a random non-empty subset of the other sources, every subset
            being equally likely; None: all sources, always.
        teacher: Which translations along the path (1: the first, from the sources) are made by the
            averaged weights instead of those in training: a mean teacher's (Tarvainen and Valpola
            2017). Gradients flow through them, and not to them.
        stretch: (first, length, parts): of a segment's rows cut into that many parts, walk those of
            `length` parts from the `first` on; None: all rows. Rows are drawn at random, so that
            the mean over a stretch is an unbiased estimate of the mean over all.
    """

    sources: tuple[str, ...] = attrs.field(converter=_names)
    target: str | None = None
    via: tuple[str, ...] = attrs.field(default=(), converter=_names)
    detach_after: int | None = None
    view: str | None = None
    kept: tuple[str, ...] | None = attrs.field(
        default=None, converter=attrs.converters.optional(_names)
    )
    teacher: tuple[int, ...] = attrs.field(default=(), converter=_sorted)
    stretch: Stretch | None = None

    def __attrs_post_init__(self) -> None:
        if not self.sources:
            raise ConfigError("A route needs at least one source.")
        if self.detach_after is not None and not 1 <= self.detach_after <= len(self.via):
            raise ConfigError(
                f"detach_after={self.detach_after} does not fit a route via {len(self.via)} "
                "domains; write how many of them lie before the gradient stop, or None."
            )
        if self.teacher and not 1 <= self.teacher[0] <= self.teacher[-1] <= len(self.via) + 1:
            raise ConfigError(
                f"teacher={self.teacher} does not fit a route of {len(self.via) + 1} translations; "
                "write which of them the teacher makes, from 1 on."
            )
        if self.kept is not None and not set(self.kept) < set(self.sources):
            raise ConfigError(
                f"kept={self.kept} must be some of the sources {self.sources}, and not all: the "
                "others are what a subset is drawn from."
            )
        if self.stretch is not None:
            first, length, parts = self.stretch
            if not (0 <= first and 1 <= length and first + length <= parts):
                raise ConfigError(
                    f"stretch={self.stretch} is none: first + length must be at most parts."
                )

    def __str__(self) -> str:
        sources = " + ".join(self.sources)
        if self.kept is not None:
            drawn = " + ".join(name for name in self.sources if name not in self.kept)
            sources = " + ".join([*self.kept, f"some of ({drawn})"])
        steps = [sources, *self.via, self.target or "workspace"]
        if self.detach_after is not None:
            steps[self.detach_after] += "|"
        text = steps[0]
        for hop, step in enumerate(steps[1:], start=1):
            text += (" ~> " if hop in self.teacher else " -> ") + step
        return text + (f" ({self.view})" if self.view is not None else "")

    def rows_of(self, segment: Segment) -> slice:
        """Which of this process's rows of `segment` walk the route; all, or its stretch."""
        return segment.here(whole_rows(segment, self.stretch))


@attrs.frozen(cache_hash=True)
class Walk:
    """A route walked by the rows of one segment."""

    route: Route
    segment: int


def whole_rows(segment: Segment, stretch: Stretch | None) -> slice:
    """The rows of a stretch, at least one, in the segment of all processes.

    Args:
        segment: The segment.
        stretch: See `Route`; None: all its rows.
    """
    if stretch is None:
        return slice(0, segment.whole)
    first, length, parts = stretch
    start = min(segment.whole * first // parts, segment.whole - 1)
    return slice(start, max(segment.whole * (first + length) // parts, start + 1))
