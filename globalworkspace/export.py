"""A way through a workspace as a file that runs without this package: ONNX, or torch.export.

What is written goes from latents to latents, or to the state. Domain modules stay outside: they
take raw data of any kind, which no graph of tensors has an input for.
"""

from __future__ import annotations

import copy
import importlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalworkspace.direct import Slot, Translators
from globalworkspace.errors import ConfigError, DomainError, did_you_mean
from globalworkspace.files import write_file, writing
from globalworkspace.fusion import Fusion
from globalworkspace.latents import LatentSpec, Standardizer
from globalworkspace.networks import module_key
from globalworkspace.workspace import GlobalWorkspace

Format = Literal["onnx", "torch"]
ENDINGS: Mapping[str, str] = {"onnx": ".onnx", "torch": ".pt2"}
"""Format -> how the names of its files end."""
STATE = "state"
"""Name of the output where the path ends at the state."""


def translation_module(
    workspace: GlobalWorkspace, sources: str | Sequence[str], to: str | None
) -> nn.Module:
    """A path through a workspace as a plain module, frozen and in eval mode.

    It is a copy: training the workspace further, or switching its mode, does not change it.

    Args:
        workspace: The workspace.
        sources: The domain that is given, or several, which are fused with the selection's
            expected weights.
        to: The domain that is wanted; None: the state.

    Returns:
        A module from the latents (B, D) of each source, in the order of `sources`, to the latents
        (B, D') of `to`, as `workspace.translate({...}, to, latents=True)` gives them, or to the
        state's code (B, W). Neither is standardised outside.

    Raises:
        ConfigError: On an unknown domain, none, or one named twice.
    """
    return _Path(workspace, *_checked(workspace, sources, to))


def export_translation(
    workspace: GlobalWorkspace,
    sources: str | Sequence[str],
    to: str | None,
    file: str | Path,
    *,
    format: Format = "onnx",
) -> None:
    """Write a path through a workspace into one file, for batches of any size, in float32.

    The inputs of an ONNX file have the names of the sources; its output has that of `to`, or
    "state", followed by "_out" if an input is called so. A torch.export program takes the sources
    in their order.

    Args:
        workspace: The workspace.
        sources: See `translation_module`.
        to: See `translation_module`.
        file: What is written, ending in ".onnx" or ".pt2".
        format: `"onnx"`, or `"torch"`: what `torch.export.load` reads.

    Raises:
        ConfigError: On an unknown domain or format, a file name that does not fit the format, a
            missing package, or networks that cannot be exported.
        StorageError: If the file cannot be written; what was there before still is.
    """
    place = Path(file).expanduser()
    if format not in ENDINGS:
        raise ConfigError(f'format="{format}" is unknown; write "onnx" or "torch".')
    if place.suffix != ENDINGS[format]:
        raise ConfigError(
            f'"{place}" does not end in "{ENDINGS[format]}", as files of format="{format}" do. '
            "Give another name, or another format."
        )
    names, target = _checked(workspace, sources, to)
    if format == "onnx":
        _require_onnx()
    program = _program(_Path(workspace, names, target).float().cpu(), workspace)
    content = _onnx(program, names, target) if format == "onnx" else _pt2(program)
    with writing(place):
        place.parent.mkdir(parents=True, exist_ok=True)
    write_file(place, content)


# ---- the path


class _Source(nn.Module):
    """Latents (B, D) of a domain -> its code (B, W)."""

    kept: Tensor | None

    def __init__(self, workspace: GlobalWorkspace, name: str) -> None:
        super().__init__()
        self.name, standardizer = name, workspace.standardizer(name)
        self.standardizer, alive = _without_dropping(standardizer), standardizer.alive
        self.encoder = copy.deepcopy(workspace.encoder(name))
        self.register_buffer("kept", None if alive.all() else alive.nonzero().flatten())

    def forward(self, latents: Tensor) -> Tensor:
        dim = self.standardizer.spec.dim
        if latents.ndim != 2 or latents.shape[1] != dim:  # another might be broadcast, unnoticed
            raise DomainError(
                f'The latents given for domain "{self.name}" are {tuple(latents.shape)}; a tensor '
                f"(batch, {dim}) is expected."
            )
        standard = self.standardizer.standardize(latents.to(self.standardizer.mean.dtype))
        if self.kept is not None:
            standard = standard.index_select(1, self.kept)
        code: Tensor = self.encoder(standard)
        return code


class _Target(nn.Module):
    """States (B, W) -> latents (B, D) of a domain."""

    place: Tensor | None

    def __init__(self, workspace: GlobalWorkspace, sources: Sequence[str], name: str) -> None:
        super().__init__()
        standardizer = workspace.standardizer(name)
        self.spec = standardizer.standard_spec
        self.standardizer, alive = _without_dropping(standardizer), standardizer.alive
        decoder = workspace.decoder(name)
        self.decoder = (
            _FilledSlots(decoder, {n: cast(Slot, workspace.encoder(n)) for n in sources})
            if isinstance(decoder, Translators)
            else copy.deepcopy(decoder)
        )
        # dead columns read the one that is put behind the others
        place = torch.where(alive, alive.cumsum(0) - 1, alive.sum())
        self.register_buffer("place", None if alive.all() else place)

    def forward(self, code: Tensor) -> Tensor:
        standard = self.spec.activate(self.decoder(code))
        if self.place is not None:
            standard = F.pad(standard, (0, 1)).index_select(1, self.place)
        return self.standardizer.restore(standard)


class _FilledSlots(nn.Module):
    """`Translators` for a state of which it is known which slots are filled.

    They themselves look into each row, which no graph can follow.
    """

    def __init__(self, translators: Translators, slots: Mapping[str, Slot]) -> None:
        super().__init__()
        self.spec: LatentSpec = translators.spec
        self.own = translators.own
        self._slots = [(name, slot.columns, slot.mark) for name, slot in slots.items()]
        keys = [module_key(name) for name in slots if name != self.own]
        self.sources = nn.ModuleDict({k: copy.deepcopy(translators.sources[k]) for k in keys})

    def forward(self, codes: Tensor) -> Tensor:
        told = []
        for name, columns, mark in self._slots:
            share = codes[:, mark : mark + 1]
            latents = codes[:, columns] / share
            said = (
                self.spec.exact_prediction(latents)
                if name == self.own
                else self.sources[module_key(name)](latents)
            )
            told.append(share * said)
        return torch.stack(told).sum(dim=0)


class _Path(nn.Module):
    """See `translation_module`."""

    def __init__(
        self, workspace: GlobalWorkspace, sources: tuple[str, ...], to: str | None
    ) -> None:
        super().__init__()
        self.names, self.to_name = sources, to
        self.sources = nn.ModuleList(_Source(workspace, name) for name in sources)
        self.fusion = copy.deepcopy(workspace.fusion)
        self.target = None if to is None else _Target(workspace, sources, to)
        self.eval()
        self.requires_grad_(False)

    def forward(self, *latents: Tensor) -> Tensor:
        codes = [source(given) for source, given in zip(self.sources, latents, strict=True)]
        code = self._fused(codes)
        return code if self.target is None else self.target(code)

    def _fused(self, codes: list[Tensor]) -> Tensor:
        """What `Fusion.fuse` makes of the codes, without the `State` that strict export refuses."""
        kind = type(self.fusion)
        if kind.fuse is not Fusion.fuse or kind.finish is not Fusion.finish:
            return self.fusion.fuse(dict(zip(self.names, codes, strict=True))).code
        before = codes[0]
        if len(codes) > 1:
            stacked = torch.stack(codes)
            here = torch.ones(stacked.shape[:2], dtype=torch.bool, device=stacked.device)
            weights = self.fusion.select(stacked, here, None)
            before = (weights[:, :, None] * stacked).sum(dim=0)
        return torch.tanh(before) if self.fusion.activation == "tanh" else before


def _without_dropping(standardizer: Standardizer) -> Standardizer:
    """A copy that leaves dead columns in: to drop them by a mask gives no shape that is known."""
    mean, std = standardizer.mean.clone(), standardizer.std.clone()
    whole = Standardizer(standardizer.spec, mean, std, torch.ones_like(standardizer.alive))
    return whole.to(mean.device, mean.dtype)


def _checked(
    workspace: GlobalWorkspace, sources: str | Sequence[str], to: str | None
) -> tuple[tuple[str, ...], str | None]:
    names = (sources,) if isinstance(sources, str) else tuple(sources)
    if not names:
        raise ConfigError("No source was given. Name at least one domain of the workspace.")
    if len(set(names)) != len(names):
        raise ConfigError(f"A domain stands twice among the sources: {', '.join(names)}.")
    for name in (*names, *(() if to is None else (to,))):
        if name not in workspace.domains:
            raise ConfigError(
                f'The workspace has no domain "{name}"; it has {", ".join(workspace.domains)}.'
                f"{did_you_mean(str(name), workspace.domains)}"
            )
    return names, to


# ---- the file


def _program(path: _Path, workspace: GlobalWorkspace) -> torch.export.ExportedProgram:
    """The path as a graph, for any number of rows."""
    sizes = [workspace.domains[name].latent.dim for name in path.names]
    # rows of zeros: a program keeps its examples, and nobody's data should be among them
    examples = tuple(torch.zeros(2, size) for size in sizes)
    batch = torch.export.Dim("batch")
    shapes = {"latents": tuple({0: batch} for _ in examples)}
    try:
        # strict: networks may ask a tensor for its len(), which the other way takes for a constant
        program = torch.export.export(path, examples, dynamic_shapes=shapes, strict=True)
    except Exception as error:  # a plugin's network may fail with anything
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"torch.export cannot follow the networks from {', '.join(path.names)} to "
            f"{path.to_name or 'the state'} ({type(error).__name__}: {reason}). Use networks "
            "and a fusion of the core's kinds, or translation_module(), which needs no export."
        ) from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine, and most of the file
    return program


def _pt2(program: torch.export.ExportedProgram) -> bytes:
    stream = io.BytesIO()
    torch.export.save(program, stream)
    return stream.getvalue()


def _onnx(program: torch.export.ExportedProgram, sources: tuple[str, ...], to: str | None) -> bytes:
    """The serialised model, its weights inside."""
    output = to or STATE
    while output in sources:
        output += "_out"
    exported = torch.onnx.export(
        program,
        dynamo=True,
        input_names=list(sources),
        output_names=[output],
        # the others follow: all have one number of rows
        dynamic_shapes=tuple({} if index else {0: "batch"} for index in range(len(sources))),
        verbose=False,
    )
    assert exported is not None
    model = exported.model_proto
    for node in model.graph.node:
        node.ClearField("metadata_props")
    content: bytes = model.SerializeToString()
    return content


def _require_onnx() -> None:
    for package in ("onnx", "onnxscript"):
        try:
            importlib.import_module(package)
        except ImportError:
            raise ConfigError(
                f"Writing ONNX needs the package {package}. Install it: "
                "pip install 'globalworkspace[onnx]'."
            ) from None
