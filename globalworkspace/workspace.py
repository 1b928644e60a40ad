"""The Global Workspace: a small encoder and decoder per domain around one shared space.

Domain modules are frozen and stay outside the workspace's parameters and state dict; everything
that is trained here is small.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalworkspace.data.cells import LazyLatents
from globalworkspace.direct import direct_networks
from globalworkspace.domain import Decodes, DomainModule, encode_checked, freeze
from globalworkspace.errors import ConfigError, DomainError
from globalworkspace.fusion import Fusion, Mean, State
from globalworkspace.gallery import GalleryDecoding
from globalworkspace.latents import LatentSpec, Standardizer
from globalworkspace.networks import module_key
from globalworkspace.randomness import derived_seed
from globalworkspace.registry import get_registry
from globalworkspace.settings import construct

DOMAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
DomainPairs = Mapping[str, DomainModule] | Iterable[tuple[str, DomainModule]]


class GlobalWorkspace(nn.Module):
    """Joins domains under the user's own names through one shared space.

    Args:
        domains: Name -> domain module; two of one kind are fine.
        dim: Size W of the workspace.
        hidden_dim: Width of the workspace encoders and decoders.
        num_layers: Their hidden layers.
        dropout: In their hidden layers, while training.
        linear_path: Give them a linear path, which a closed-form initializer can set.
        networks: Domain -> registered kind of its networks, or `{"kind": ..., setting: ...}`;
            default: `"attention"` where the latent holds a sequence, else `"mlp"`.
        fusion: Registered kind.
        fusion_options: Its settings.
        activation: Of the fused state: `"tanh"` or `"none"`.
        topology: `"shared"`, or `"direct"`: no shared space but a translator for every ordered pair
            of domains (see `globalworkspace.direct`), for comparison; dim, networks, linear_path,
            fusion and activation then have no part in it.
        seed: Of the first weights.

    Raises:
        DomainError: On a bad or repeated name, or something that is no domain module.

    Example:
        >>> from globalworkspace import DomainModule, LatentSpec
        >>> class Numbers(DomainModule):
        ...     latent = LatentSpec.continuous(2)
        ...     def encode(self, raw): return torch.as_tensor(raw, dtype=torch.float32)
        ...     def decode(self, latents): return latents.tolist()
        ...     def config(self): return {}
        >>> ws = GlobalWorkspace({"left": Numbers(), "right": Numbers()}, dim=4)
        >>> ws.encode({"left": [[0.0, 1.0]]}).code.shape
        torch.Size([1, 4])
    """

    def __init__(
        self,
        domains: DomainPairs,
        dim: int = 64,
        *,
        hidden_dim: int = 128,
        num_layers: int = 2,
        dropout: float = 0.0,
        linear_path: bool = False,
        networks: Mapping[str, str | Mapping[str, Any]] | None = None,
        fusion: str = "random-softmax",
        fusion_options: Mapping[str, Any] | None = None,
        activation: str = "tanh",
        topology: Literal["shared", "direct"] = "shared",
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value in (("dim", dim), ("hidden_dim", hidden_dim), ("num_layers", num_layers)):
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name}={value!r} must be a whole number of at least 1.")
        if not 0 <= dropout < 1:
            raise ConfigError(f"dropout={dropout} must lie in [0, 1).")
        if topology not in ("shared", "direct"):
            raise ConfigError(f'topology="{topology}" is unknown; write "shared" or "direct".')
        if topology == "direct" and (networks or linear_path):
            raise ConfigError(
                'topology="direct" has one plain network per pair of domains; leave networks and '
                "linear_path out."
            )
        self.topology = topology
        self.dim, self.hidden_dim, self.num_layers = dim, hidden_dim, num_layers
        self.dropout, self.linear_path, self.fusion_kind, self.seed = (
            dropout,
            linear_path,
            fusion,
            seed,
        )
        self._networks = {name: _network_choice(name, x) for name, x in (networks or {}).items()}
        self._domains: dict[str, DomainModule] = {}
        self._standardized: set[str] = set()
        self.encoders = nn.ModuleDict()
        self.decoders = nn.ModuleDict()
        self.standardizers = nn.ModuleDict()
        self.fusion: Fusion = Mean(dim, "none")
        if topology == "shared":
            self.fusion = _fusion(fusion, fusion_options, dim, activation, seed)
        for name, module in domains.items() if isinstance(domains, Mapping) else domains:
            self._add(name, module)
        if not self._domains:
            raise DomainError("A workspace needs at least one domain.")
        if topology == "direct":
            self._build_translators()
        for name in self._networks:
            if name not in self._domains:
                raise ConfigError(
                    f'networks names the domain "{name}"; the workspace has '
                    f"{', '.join(self._domains)}."
                )
        self.eval()

    # ---- domains

    @property
    def domains(self) -> dict[str, DomainModule]:
        """Name -> frozen domain module, in the order given."""
        return dict(self._domains)

    def add_domain(
        self,
        name: str,
        module: DomainModule,
        *,
        network: str | Mapping[str, Any] | None = None,
        freeze_others: bool = True,
    ) -> None:
        """Let a further domain join, also after training.

        Args:
            name: The new domain's name.
            module: Its module.
            network: Kind of its networks, as in the constructor's `networks`.
            freeze_others: Keep every other domain's networks as they are: only the new ones train
                from now on (undo with `set_trainable`).
        """
        if self.topology == "direct":
            raise ConfigError(
                f'The domain "{name}" cannot join: direct translators know a fixed set of domains. '
                'Use topology="shared".'
            )
        if network is not None:
            self._networks[name] = _network_choice(name, network)
        self._add(name, module)
        if freeze_others:
            self.set_trainable({name})

    def set_trainable(self, names: Iterable[str], *, fusion: bool | None = None) -> None:
        """Train the named domains only.

        Args:
            names: Domains.
            fusion: Whether the fusion's parameters train; None: when every domain does. With True
                and no domain, the selection alone trains.
        """
        chosen = set(names)
        for name in chosen:
            self._check_name(name)
        for name in self._domains:
            self.encoder(name).requires_grad_(name in chosen)
            self.decoder(name).requires_grad_(name in chosen)
        every = chosen == set(self._domains)
        self.fusion.requires_grad_(every if fusion is None else fusion)

    def replace_fusion(self, kind: str, options: Mapping[str, Any] | None = None) -> None:
        """Give a workspace another fusion, its networks staying as they are.

        Args:
            kind: Registered kind.
            options: Its settings. The activation stays; first weights follow the workspace's seed.

        Raises:
            ConfigError: If direct translators have none.
        """
        if self.topology == "direct":
            raise ConfigError("Direct translators fuse nothing; there is no fusion to replace.")
        fusion = _fusion(kind, options, self.dim, self.fusion.activation, self.seed)
        self.fusion_kind = kind
        self.fusion = fusion.to(self.device, self.dtype).train(self.training)

    def encoder(self, name: str) -> nn.Module:
        """The network from standard latents (B, A) of a domain to codes (B, W)."""
        return self.encoders[module_key(name)]

    def decoder(self, name: str) -> nn.Module:
        """The network from states (B, W) to raw predictions (B, A) of standard latents."""
        return self.decoders[module_key(name)]

    def standardizer(self, name: str) -> Standardizer:
        """Between a domain's latents (B, D) and its standard latents (B, A)."""
        return cast(Standardizer, self.standardizers[module_key(name)])

    def spec(self, name: str) -> LatentSpec:
        """What the standard latents (B, A) of a domain are made of."""
        return self.standardizer(name).standard_spec

    def fit_standardizers(self, latents: Mapping[str, Tensor | LazyLatents]) -> None:
        """Take the statistics of training latents; domains already fitted keep theirs."""
        for name, values in latents.items():
            self._check_name(name)
            if name in self._standardized:
                continue
            self.restore_standardizer(
                name, Standardizer.fit(self._domains[name].latent, values, name)
            )

    def restore_standardizer(self, name: str, standardizer: Standardizer) -> None:
        """Give a domain its statistics; networks are made anew if its live dimensions change."""
        changed = standardizer.standard_spec.dim != self.spec(name).dim
        if changed and self.topology == "shared":
            self._build_networks(name, standardizer.standard_spec)
        self.standardizers[module_key(name)] = standardizer.to(self.device, self.dtype)
        if changed and self.topology == "direct":
            self._build_translators()
        self._standardized.add(name)

    def train(self, mode: bool = True) -> GlobalWorkspace:
        """Switch to training mode; frozen networks stay as in inference, without dropout."""
        super().train(mode)
        for network in [*self.encoders.values(), *self.decoders.values()]:
            if mode and not any(p.requires_grad for p in network.parameters()):
                network.eval()
        return self

    @property
    def standardized(self) -> frozenset[str]:
        """Domains whose statistics are known."""
        return frozenset(self._standardized)

    @property
    def device(self) -> torch.device:
        """Where the workspace's weights lie."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Of the workspace's weights."""
        return next(self.parameters()).dtype

    # ---- inference

    @torch.no_grad()
    def encode(
        self,
        inputs: Mapping[str, Any],
        *,
        latents: bool = False,
        present: Mapping[str, Tensor] | None = None,
    ) -> State:
        """The fused state of the given domains; any subset of the workspace's domains will do.

        Args:
            inputs: Domain -> raw batch of B items, or latents (B, D) where `latents` is true.
            latents: Whether `inputs` are latents.
            present: Domain -> (B,) bool for domains that only some rows have; their other rows are
                ignored.

        Returns:
            State of B rows, each fused from the domains it has with the selection's expected
            weights.
        """
        masks = {
            name: torch.as_tensor(mask, dtype=torch.bool) for name, mask in (present or {}).items()
        }
        codes = {}
        for name, given in self._latents(inputs, latents, masks).items():
            standard = self.standardizer(name).standardize(given.to(self.device, self.dtype))
            codes[name] = self.encoder(name)(standard)
        sizes = {name: len(code) for name, code in codes.items()}
        if len(set(sizes.values())) > 1:
            raise DomainError(
                f"The inputs have different batch sizes: {sizes}. Row i of each must be the "
                "same item."
            )
        masks = {name: mask.to(self.device) for name, mask in masks.items()}
        if masks and len(masks) == len(codes):
            empty = (~torch.stack(list(masks.values())).any(dim=0)).nonzero().flatten()
            if len(empty):
                raise DomainError(
                    f"Row {int(empty[0])} of the batch has none of the given domains. Leave it "
                    "out, "
                    "or set `present` for one of them."
                )
        return self.fusion.fuse(codes, masks)

    @torch.no_grad()
    def decode(self, state: State | Tensor, to: str, *, latents: bool = False) -> Any:
        """A state decoded to one domain; see `nearest` for domains that answer from a gallery.

        Args:
            state: B rows; a tensor is taken as codes after the activation (B, W).
            to: The target domain.
            latents: Return latents (B, D) rather than raw data.

        Raises:
            DomainError: If the domain is unknown, or raw data is wanted and its module cannot
                decode.
        """
        self._check_name(to)
        code = state.code if isinstance(state, State) else state
        module = self._domains[to]
        if not latents and isinstance(module, GalleryDecoding) and module.gallery is not None:
            return [module.gallery[i] for i in self.nearest(code, to)[:, 0].tolist()]
        predicted = self.spec(to).activate(self.decoder(to)(code))
        restored = self.standardizer(to).restore(predicted)
        return restored if latents else self.decode_latents(to, restored)

    @torch.no_grad()
    def nearest(self, state: State | Tensor, to: str, k: int = 1) -> Tensor:
        """The items of a domain's gallery whose own states are most similar, by cosine.

        The workspace keeps what the domains share; a latent also holds what only its own domain
        knows (the wording of a sentence), which no translation can tell. So a gallery is searched
        by states, not by predicted latents.

        Args:
            state: B rows, as in `decode`.
            to: A domain that answers from a gallery.
            k: How many items.

        Returns:
            (B, k) positions in the gallery, nearest first.

        Raises:
            DomainError: If the domain has no gallery.
        """
        self._check_name(to)
        module = self._domains[to]
        if not isinstance(module, GalleryDecoding) or module.gallery_latents is None:
            raise DomainError(
                f'Domain "{to}" has no gallery. Call set_gallery(items) of a domain module that '
                "decodes by example."
            )
        known = module.gallery_latents.to(self.device, self.dtype)
        own = self.fusion.finish(self.encoder(to)(self.standardizer(to).standardize(known)))
        code = state.code if isinstance(state, State) else state
        similarity = F.normalize(code, dim=1) @ F.normalize(own.code, dim=1).T
        return similarity.topk(min(k, len(known)), dim=1).indices

    def decode_latents(self, name: str, latents: Tensor) -> Any:
        """Latents (B, D) -> a raw batch, by the domain's own module.

        Raises:
            DomainError: If that module cannot decode.
        """
        module = self._domains[name]
        if not isinstance(module, Decodes):
            raise DomainError(
                f'Domain "{name}" ({type(module).__name__}) has no decode(); ask for '
                "latents=True, or use a kind that decodes."
            )
        with torch.no_grad():
            return module.decode(latents)

    def translate(self, inputs: Mapping[str, Any], to: str, *, latents: bool = False) -> Any:
        """What the given domains look like in another: `decode(encode(inputs), to)`.

        With `latents=True` both the inputs and the result are latents.
        """
        return self.decode(self.encode(inputs, latents=latents), to, latents=latents)

    def broadcast(self, state: State | Tensor, *, latents: bool = False) -> dict[str, Any]:
        """One state decoded to every domain (that can decode, unless latents are asked for)."""
        able = [
            name for name, module in self._domains.items() if latents or isinstance(module, Decodes)
        ]
        return {name: self.decode(state, name, latents=latents) for name in able}

    # ---- saving

    def save_pretrained(self, folder: str | Path) -> None:
        """Save config.json, safetensors and a model card; see `globalworkspace.pretrained`."""
        from globalworkspace.pretrained import save_pretrained

        save_pretrained(self, folder)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        domains: Mapping[str, DomainModule] | None = None,
        *,
        revision: str | None = None,
        token: str | None = None,
    ) -> GlobalWorkspace:
        """Load what `save_pretrained` wrote, or `push_to_hub`.

        Args:
            folder: The folder, or a repository of the Hugging Face hub as owner/name.
            domains: Modules for domains whose class no installed plugin registers (defined in a
                script, say).
            revision: Branch, tag or commit of a repository.
            token: Of the hub.
        """
        from globalworkspace.hub import REPOSITORY, download
        from globalworkspace.pretrained import load_workspace

        if REPOSITORY.match(str(folder)) and not Path(folder).parent.is_dir():
            folder = download(str(folder), revision=revision, token=token)
        return load_workspace(folder, domains)

    def push_to_hub(self, repository: str, **options: Any) -> str:
        """Save into a repository of the Hugging Face hub; see `globalworkspace.hub.push_to_hub`."""
        from globalworkspace.hub import push_to_hub

        return push_to_hub(self, repository, **options)

    # ---- internals

    def config(self) -> dict[str, Any]:
        """JSON-able keyword arguments of the constructor, without the domains."""
        return {
            "dim": self.dim,
            "hidden_dim": self.hidden_dim,
            "num_layers": self.num_layers,
            "dropout": self.dropout,
            "linear_path": self.linear_path,
            "networks": self._networks,
            "fusion": self.fusion_kind,
            "fusion_options": self.fusion.config(),
            "activation": self.fusion.activation,
            "topology": self.topology,
            "seed": self.seed,
        }

    def extra_repr(self) -> str:
        """Domains and size, for `print`."""
        return f"dim={self.dim}, domains={list(self._domains)}"

    def _latents(
        self, inputs: Mapping[str, Any], are_latents: bool, masks: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        if not inputs:
            raise DomainError("No input was given. Give at least one domain.")
        found = {}
        for name, given in inputs.items():
            self._check_name(name)
            module = self._domains[name]
            if not are_latents:
                found[name] = encode_checked(name, module, given)
            elif (
                isinstance(given, Tensor)
                and given.ndim == 2
                and given.shape[1] == module.latent.dim
            ):
                judged = given[masks[name].to(given.device)] if name in masks else given
                if not judged.isfinite().all():
                    raise DomainError(
                        f'The latents given for domain "{name}" hold NaN or infinity.'
                    )
                found[name] = given
            else:
                got = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
                raise DomainError(
                    f'The latents given for domain "{name}" are {got}; a tensor (batch, '
                    f"{module.latent.dim}) is expected."
                )
        return found

    def _check_name(self, name: str) -> None:
        if name not in self._domains:
            raise DomainError(
                f'The workspace has no domain "{name}"; it has {", ".join(self._domains)}.'
            )

    def _add(self, name: str, module: DomainModule) -> None:
        if not isinstance(name, str) or not DOMAIN_NAME.match(name):
            raise DomainError(
                f"{name!r} is no domain name. Use letters, digits, _ and -, beginning with a "
                "letter."
            )
        if name in self._domains:
            raise DomainError(f'Domain "{name}" is named twice. Give each domain its own name.')
        if not isinstance(module, DomainModule):
            raise DomainError(
                f'Domain "{name}" is a {type(module).__name__}; a DomainModule is needed. '
                "Subclass globalworkspace.DomainModule."
            )
        if not isinstance(getattr(module, "latent", None), LatentSpec):
            raise DomainError(f'Domain "{name}": {type(module).__name__}.latent is no LatentSpec.')
        self._domains[name] = freeze(module)
        self.standardizers[module_key(name)] = Standardizer.identity(module.latent)
        if self.topology == "shared":
            self._build_networks(name, module.latent)

    def _build_networks(self, name: str, spec: LatentSpec) -> None:
        trainable = module_key(name) not in self.encoders or any(
            p.requires_grad for p in self.encoder(name).parameters()
        )
        reference = next(self.encoders.parameters(), None)
        sizes: dict[str, Any] = {
            "hidden_dim": self.hidden_dim,
            "num_layers": self.num_layers,
            "dropout": self.dropout,
            "linear_path": self.linear_path,
        }
        sequential = any(part.kind == "sequence" for part in spec.parts)
        options = dict(self._networks.get(name, {"kind": "attention" if sequential else "mlp"}))
        family = get_registry().load("network", options.pop("kind"))
        try:
            with _seeded(self.seed, "encoder", name):
                encoder = family.encoder(spec, self.dim, **{**sizes, **options})
            with _seeded(self.seed, "decoder", name):
                decoder = family.decoder(spec, self.dim, **{**sizes, **options})
        except (ConfigError, TypeError) as error:
            raise ConfigError(f'The networks of domain "{name}": {error}') from error
        self.encoders[module_key(name)], self.decoders[module_key(name)] = encoder, decoder
        self.encoder(name).requires_grad_(trainable)
        self.decoder(name).requires_grad_(trainable)
        if reference is not None:
            self._follow(name, reference)

    def _build_translators(self) -> None:
        reference = next(self.decoders.parameters(), None)
        networks = direct_networks(
            {name: self.spec(name) for name in self._domains},
            lambda source, target: _seeded(self.seed, "translator", source, target),
            hidden_dim=self.hidden_dim,
            num_layers=self.num_layers,
            dropout=self.dropout,
        )
        for name, (encoder, decoder) in networks.items():
            self.encoders[module_key(name)], self.decoders[module_key(name)] = encoder, decoder
            if reference is not None:
                self._follow(name, reference)

    def _follow(self, name: str, reference: Tensor) -> None:
        """Bring a domain's new parts to the device and dtype of a weight that was there before."""
        for part in (self.encoders, self.decoders, self.standardizers):
            part[module_key(name)].to(reference.device, reference.dtype).train(self.training)
        self._domains[name].to(reference.device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> GlobalWorkspace:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        device = self.device
        for module in self._domains.values():
            module.to(device)  # dtype stays: a frozen specialist runs as it was made
        return self


def _network_choice(name: str, given: str | Mapping[str, Any]) -> dict[str, Any]:
    choice = {"kind": given} if isinstance(given, str) else given
    if not isinstance(choice, Mapping) or not isinstance(choice.get("kind"), str):
        raise ConfigError(
            f'networks gives {given!r} for the domain "{name}"; write a kind, "attention", or '
            '{"kind": "attention", "num_heads": 2}.'
        )
    return dict(choice)


def _fusion(
    kind: str, options: Mapping[str, Any] | None, dim: int, activation: str, seed: int
) -> Fusion:
    """A registered fusion; its first weights follow the seed."""
    made = get_registry().load("fusion", kind)
    fixed = {"dim": dim, "activation": activation}
    with _seeded(seed, "fusion"):
        found: Fusion = construct(made, dict(options or {}), f'The fusion "{kind}"', fixed=fixed)
    return found


class _seeded:
    """Make the first weights a function of the keys, leaving the global generator as it was."""

    def __init__(self, *keys: object) -> None:
        self.seed = derived_seed(*keys)

    def __enter__(self) -> None:
        self.state = torch.get_rng_state()
        torch.manual_seed(self.seed)

    def __exit__(self, *_: object) -> None:
        torch.set_rng_state(self.state)
