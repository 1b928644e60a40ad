"""The plan that walks many routes at once.

Routes share beginnings; a `RoutePlan` walks each shared piece once and calls each network once per
level, on the concatenated rows of everything that needs it.

Shapes: R rows of a domain in the batch, B rows of a segment, W workspace size, A columns of a
domain's standard latents.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalworkspace.data.sampler import Batch, Segment
from globalworkspace.errors import ConfigError
from globalworkspace.fusion import Fusion, State
from globalworkspace.latents import LatentSpec
from globalworkspace.moving import onto
from globalworkspace.networks import rows_among
from globalworkspace.processes import Processes
from globalworkspace.randomness import Chance
from globalworkspace.route import Route, Stretch, Walk, whole_rows

if TYPE_CHECKING:
    from globalworkspace.workspace import GlobalWorkspace


class Networks(Protocol):
    """What walks a route: the workspace itself, or its teacher."""

    @property
    def fusion(self) -> Fusion:
        """Between them."""

    def encoder(self, name: str) -> nn.Module:
        """Of a domain: standard latents (B, A) -> codes (B, W)."""

    def decoder(self, name: str) -> nn.Module:
        """Of a domain: states (B, W) -> raw predictions (B, A)."""


@attrs.frozen(eq=False)
class Walked:
    """What came out: states and predictions of every walk, and what the rows really hold."""

    segments: tuple[Segment, ...]
    walks: Mapping[Route, tuple[int, ...]]
    """Route -> segments that walked it."""
    states: Mapping[Walk, State]
    """For routes that end in the workspace."""
    predictions: Mapping[Walk, Tensor]
    """For routes with a target: raw predictions (B, A)."""
    inputs: Mapping[tuple[int, str], Tensor]
    """(segment, domain) -> standard latents (B, A)."""
    _row_losses: dict[str, dict[Walk, Tensor]] = attrs.field(factory=dict, init=False)

    def row_losses(
        self, target: str, spec: LatentSpec, part_weights: Mapping[str, Mapping[str, float]]
    ) -> Mapping[Walk, Tensor]:
        """How far each walk to `target` ends from what the row holds: walk -> (rows,).

        All of them are compared in one call, however many families ask.
        """
        if target not in self._row_losses:
            walks = [walk for walk in self.predictions if walk.route.target == target]
            predictions = [self.predictions[walk] for walk in walks]
            truths = [
                self.inputs[walk.segment, target][walk.route.rows_of(self.segments[walk.segment])]
                for walk in walks
            ]
            values = spec.loss(
                torch.cat(predictions), torch.cat(truths), part_weights.get(target)
            ).split([len(rows) for rows in predictions])
            self._row_losses[target] = dict(zip(walks, values, strict=True))
        return self._row_losses[target]

    def through(self, view: str | None, inputs: Mapping[tuple[int, str], Tensor]) -> Walked:
        """The routes of one view alone, as if there were no other.

        Args:
            view: A view's name; None: the routes that see the latents as they are.
            inputs: What the rows hold in that view's eyes.
        """

        def plain(route: Route) -> Route:
            return attrs.evolve(route, view=None)

        return Walked(
            segments=self.segments,
            walks={plain(r): held for r, held in self.walks.items() if r.view == view},
            states={
                Walk(plain(w.route), w.segment): state
                for w, state in self.states.items()
                if w.route.view == view
            },
            predictions={
                Walk(plain(w.route), w.segment): values
                for w, values in self.predictions.items()
                if w.route.view == view
            },
            inputs=inputs,
        )


_Place = tuple[int, str | None]
"""(segment, view): rows, and how their latents are seen."""
_Start = tuple[int, str | None, Stretch | None, tuple[str, ...] | None]
"""(segment, view, stretch, kept): the rows that set out, and which of their sources are certain."""
_Node = tuple[_Start, tuple[str, ...], tuple[str, ...], int | None, tuple[int, ...]]
"""A point of a walk: (start, sources, domains passed, how many lie behind a gradient stop, which
translations the teacher has made or, in the workspace, begun)."""


class RoutePlan:
    """The walks of a batch layout, ordered level by level.

    Args:
        segments: Layout of the batch.
        routes: Per segment, the routes its rows walk.
    """

    def __init__(self, segments: Sequence[Segment], routes: Sequence[Iterable[Route]]) -> None:
        self.segments = tuple(segments)
        self._places: dict[tuple[tuple[int, Stretch | None], ...], tuple[int, Tensor]] = {}
        self.walks = [
            Walk(route, index)
            for index, wanted in enumerate(routes)
            for route in dict.fromkeys(wanted)
        ]
        by_route: dict[Route, list[int]] = defaultdict(list)
        for walk in self.walks:
            by_route[walk.route].append(walk.segment)
        self.segments_of = {route: tuple(found) for route, found in by_route.items()}
        starts: dict[_Node, None] = {}
        levels: list[dict[_Node, None]] = []
        again: list[dict[_Node, None]] = []
        for walk in self.walks:
            route = walk.route
            starts[_start(walk), route.sources, (), None, _upto(route.teacher, 1)] = None
            path = route.via + ((route.target,) if route.target is not None else ())
            for depth in range(len(path)):
                if depth == len(levels):
                    levels.append({})
                    again.append({})
                node = _node(walk, path[: depth + 1])
                levels[depth][node] = None
                if depth > 0:
                    again[depth - 1][_parent(node)] = None
            if route.target is None and route.via:
                again[len(path) - 1][_end_state(walk)] = None
        self.starts = tuple(starts)
        self.levels = [tuple(level) for level in levels]
        self.encoded_again = [tuple(nodes) for nodes in again]
        self.first: dict[tuple[str, bool], dict[_Place, None]] = {}
        """(source, whether the teacher encodes it) -> where it is encoded."""
        for (index, view, _, _), sources, _, _, hops in starts:
            for name in sources:
                self.first.setdefault((name, bool(hops)), {})[index, view] = None
        self.as_held = {
            key
            for key, places in self.first.items()
            if list(places) == [(i, None) for i, s in enumerate(self.segments) if key[0] in s.group]
        }
        """Those of `first` that take all rows there are, as the batch holds them."""
        self.taught = any(walk.route.teacher for walk in self.walks)

    def walk(
        self,
        workspace: GlobalWorkspace,
        batch: Batch,
        chance: Chance | None = None,
        views: Mapping[_Place, Mapping[str, Tensor]] | None = None,
        processes: Processes | None = None,
        teacher: Networks | None = None,
    ) -> Walked:
        """Walk all routes for one batch.

        Args:
            workspace: Whose networks are used.
            batch: Standard latents with this plan's layout.
            chance: Of selection; None: expected weights.
            views: (segment, view) -> domain -> the latents (B, A) that this view shows.
            processes: Those that share the rows of the batch.
            teacher: Whose weights make a route's `teacher` translations.

        Raises:
            ConfigError: If a route needs a teacher and there is none.
        """
        if self.taught and teacher is None:
            raise ConfigError(
                "A route is walked by a teacher, and there is none. Trainer makes one; walk() is "
                "given it."
            )
        walkers: tuple[Networks, Networks] = (workspace, teacher or workspace)
        together = processes or Processes()
        inputs = latents_per_segment(self.segments, batch.latents)
        single: dict[tuple[_Place, str, bool], State] = {}
        for (name, taught), held in self.first.items():
            if (name, taught) in self.as_held:
                given = batch.latents[name]
            else:
                given = joined(
                    [
                        inputs[place[0], name] if place[1] is None else (views or {})[place][name]
                        for place in held
                    ]
                )
            with self._among([(i, None) for i, _ in held], together):
                codes = walkers[taught].encoder(name)(given)
            pieces = (
                walkers[taught]
                .fusion.fuse({name: codes})
                .split([self.segments[i].size for i, _ in held])
            )
            single.update(zip([(place, name, taught) for place in held], pieces, strict=True))
        states: dict[_Node, State] = {}
        for node in self.starts:
            (index, view, stretch, kept), sources, _, _, hops = node
            whole = [single[(index, view), name, bool(hops)] for name in sources]
            here = None
            if stretch is not None:
                here = self.segments[index].here(whole_rows(self.segments[index], stretch))
            if len(sources) == 1:
                states[node] = whole[0] if here is None else whole[0][here]
                continue
            generator = None
            if chance is not None:
                rare = [part for part in (stretch, kept) if part is not None]
                generator = chance.generator("selection", index, *sources, *rare)
            before = [state.before if here is None else state.before[here] for state in whole]
            fused = dict(zip(sources, before, strict=True))
            fusion = walkers[bool(hops)].fusion
            states[node] = self._fuse(fusion, fused, kept, generator, node[0], together)

        predictions: dict[_Node, Tensor] = {}
        for level, again in zip(self.levels, self.encoded_again, strict=True):
            self._decode(walkers, level, states, predictions, together)
            self._encode_again(workspace, walkers, again, predictions, states, together)

        ends: dict[Walk, Tensor] = {}
        for walk in self.walks:
            if walk.route.target is not None:
                ends[walk] = predictions[_node(walk, (*walk.route.via, walk.route.target))]
        return Walked(
            segments=self.segments,
            walks=self.segments_of,
            states={
                walk: states[_end_state(walk)] for walk in self.walks if walk.route.target is None
            },
            predictions=ends,
            inputs=inputs,
        )

    def _decode(
        self,
        walkers: tuple[Networks, Networks],
        level: Sequence[_Node],
        states: Mapping[_Node, State],
        predictions: dict[_Node, Tensor],
        together: Processes,
    ) -> None:
        """One decoder call per domain for all nodes of a level; one more for the teacher's."""
        for (name, taught), nodes in _by_domain(level, 0).items():
            codes = [states[_parent(node)].code for node in nodes]
            with self._among([(node[0][0], node[0][2]) for node in nodes], together):
                whole = walkers[taught].decoder(name)(joined(codes))
            predictions.update(zip(nodes, whole.split([len(code) for code in codes]), strict=True))

    def _encode_again(
        self,
        workspace: GlobalWorkspace,
        walkers: tuple[Networks, Networks],
        wanted: Sequence[_Node],
        predictions: Mapping[_Node, Tensor],
        states: dict[_Node, State],
        together: Processes,
    ) -> None:
        """One encoder call per domain for the predictions that lead to the wanted states."""
        for (name, taught), nodes in _by_domain(wanted, 1).items():
            pieces = []
            for node in nodes:
                place, sources, path, stop, hops = node
                prediction = predictions[
                    place, sources, path, _shallower(stop, len(path) - 1), _upto(hops, len(path))
                ]
                pieces.append(prediction.detach() if stop == len(path) else prediction)
            latents = workspace.spec(name).activate(joined(pieces))
            with self._among([(node[0][0], node[0][2]) for node in nodes], together):
                codes = walkers[taught].encoder(name)(latents)
            whole = walkers[taught].fusion.fuse({name: codes})
            states.update(zip(nodes, whole.split([len(piece) for piece in pieces]), strict=True))

    def _fuse(
        self,
        fusion: Fusion,
        codes: Mapping[str, Tensor],
        kept: tuple[str, ...] | None,
        generator: torch.Generator | None,
        start: _Start,
        together: Processes,
    ) -> State:
        """The fused state; its chance is drawn for the rows of all processes."""
        if generator is None:
            return fusion.fuse(codes)
        segment = self.segments[start[0]]
        rows = whole_rows(segment, start[2])
        whole, mine = rows.stop - rows.start, slice(0, rows.stop - rows.start)
        if together.size > 1:
            mine = _own_rows(segment, rows)
            edges = (0, 0, mine.start, whole - mine.stop)
            codes = {name: F.pad(code, edges) for name, code in codes.items()}
        present = None
        if kept is not None:
            device = next(iter(codes.values())).device
            drawn = [name for name in codes if name not in kept]
            masks = onto(_drawn_sources(len(drawn), whole, generator), device)
            present = dict(zip(drawn, masks.unbind(), strict=True))
        state = fusion.fuse(codes, present, generator)
        if together.size == 1:
            return state
        return state[mine]

    def _among(
        self, stretches: Sequence[tuple[int, Stretch | None]], together: Processes
    ) -> contextlib.AbstractContextManager[None]:
        """Which rows these (segment, stretch) are in a batch of all processes, for dropout."""
        if together.size == 1:
            return contextlib.nullcontext()
        key = tuple(stretches)
        if key not in self._places:
            start, pieces = 0, []
            for index, stretch in stretches:
                segment = self.segments[index]
                rows = whole_rows(segment, stretch)
                mine = _own_rows(segment, rows)
                pieces.append(torch.arange(start + mine.start, start + mine.stop))
                start += rows.stop - rows.start
            self._places[key] = (start, torch.cat(pieces))
        return rows_among(*self._places[key])


def _start(walk: Walk) -> _Start:
    route = walk.route
    return walk.segment, route.view, route.stretch, route.kept


def _own_rows(segment: Segment, rows: slice) -> slice:
    """Which of a stretch's rows, counted from its first, are this process's."""
    first, last = (
        min(max(edge, rows.start), rows.stop) - rows.start
        for edge in (segment.start, segment.start + segment.size)
    )
    return slice(first, last)


def _drawn_sources(sources: int, rows: int, generator: torch.Generator) -> Tensor:
    """Which of the rows fuse each source: (sources, rows) bool, at least one source in each row."""
    subsets = torch.randint(1, 2**sources, (rows,), generator=generator)
    bits = torch.arange(sources, device=subsets.device)  # a captured step draws on the GPU
    return subsets.bitwise_right_shift(bits[:, None]).remainder_(2) == 1


def _node(walk: Walk, path: tuple[str, ...]) -> _Node:
    """The node of a walk whose last decoded domain is `path[-1]`."""
    route = walk.route
    stop = _shallower(route.detach_after, len(path) - 1)
    return _start(walk), route.sources, path, stop, _upto(route.teacher, len(path))


def _end_state(walk: Walk) -> _Node:
    """The state that a walk without a target ends in."""
    route = walk.route
    return _start(walk), route.sources, route.via, route.detach_after, route.teacher


def _shallower(stop: int | None, passed: int) -> int | None:
    """A gradient stop further along the path than what is passed does not yet tell nodes apart."""
    return stop if stop is not None and stop <= passed else None


def _parent(node: _Node) -> _Node:
    """The state that a decoded node starts from."""
    place, sources, path, stop, hops = node
    return place, sources, path[:-1], stop, hops


def joined(pieces: Sequence[Tensor]) -> Tensor:
    """The rows of all pieces; a single piece as it is, without a copy."""
    return pieces[0] if len(pieces) == 1 else torch.cat(list(pieces))


def _upto(hops: tuple[int, ...], last: int) -> tuple[int, ...]:
    """Those of a route's translations that lie at `last` or before: others do not yet tell."""
    return tuple(hop for hop in hops if hop <= last)


def _by_domain(nodes: Iterable[_Node], begun: int) -> dict[tuple[str, bool], list[_Node]]:
    """(last domain passed, whether the teacher makes the translation there) -> nodes.

    Args:
        nodes: All decoded, or all encoded again.
        begun: 0: the translation that ends there; 1: the one that begins.
    """
    found: dict[tuple[str, bool], list[_Node]] = defaultdict(list)
    for node in nodes:
        found[node[2][-1], len(node[2]) + begun in node[4]].append(node)
    return found


def latents_per_segment(
    segments: Sequence[Segment], latents: Mapping[str, Tensor]
) -> dict[tuple[int, str], Tensor]:
    """Domain -> rows of all segments, as a batch holds them; (segment, domain) -> its rows."""
    pieces = {}
    for name, values in latents.items():
        held = [i for i, segment in enumerate(segments) if name in segment.group]
        for index, piece in zip(held, values.split([segments[i].size for i in held]), strict=True):
            pieces[index, name] = piece
    return pieces
