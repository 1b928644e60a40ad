"""JMVAE and MoPoE of multivae 1.0.3 with our network bodies; run by multivae_baselines.py.

    PYTHON_WITH_MULTIVAE multivae_models.py '{"latents": FILE, "model": "mopoe", "pairs": 500, ...}'

Encoders and decoders are those of a workspace (`globalworkspace.networks.MLP`), the encoders with
two outputs per latent dimension; decoders are linear at their end, unlike multivae's own, which end
in a sigmoid. JMVAE trains on matched rows alone, as it must; MoPoE on all rows, with masks. Latents
are standard latents, a normal distribution of scale `scale` around what is decoded. Prints errors.
"""

from __future__ import annotations

import json
import math
import sys
import warnings

import torch
from torch import nn

warnings.simplefilter("ignore")

from multivae.data.datasets.base import IncompleteDataset, MultimodalBaseDataset  # noqa: E402
from multivae.models import JMVAE, JMVAEConfig, MoPoE, MoPoEConfig  # noqa: E402
from multivae.models.nn.base_architectures import BaseJointEncoder  # noqa: E402
from pythae.data.datasets import DatasetOutput  # noqa: E402
from pythae.models.base.base_utils import ModelOutput  # noqa: E402
from pythae.models.nn import BaseDecoder, BaseEncoder  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from globalworkspace.networks import MLP  # noqa: E402

SIZES = {"hidden_dim": 128, "num_layers": 2}


class Encoder(BaseEncoder):
    def __init__(self, columns: int, dim: int) -> None:
        BaseEncoder.__init__(self)
        self.latent_dim, self.body = dim, MLP(columns, 2 * dim, **SIZES)

    def forward(self, x: torch.Tensor) -> ModelOutput:
        mean, log_variance = self.body(x).chunk(2, dim=1)
        return ModelOutput(embedding=mean, log_covariance=log_variance)


class JointEncoder(BaseJointEncoder):
    def __init__(self, columns: int, dim: int) -> None:
        BaseJointEncoder.__init__(self)
        self.latent_dim, self.body = dim, MLP(columns, 2 * dim, **SIZES)

    def forward(self, x: dict[str, torch.Tensor]) -> ModelOutput:
        mean, log_variance = self.body(torch.cat(list(x.values()), dim=1)).chunk(2, dim=1)
        return ModelOutput(embedding=mean, log_covariance=log_variance)


class Decoder(BaseDecoder):
    def __init__(self, dim: int, columns: int) -> None:
        BaseDecoder.__init__(self)
        self.latent_dim, self.body = dim, MLP(dim, columns, **SIZES)

    def forward(self, z: torch.Tensor) -> ModelOutput:
        flat = z.reshape(-1, z.shape[-1])
        return ModelOutput(reconstruction=self.body(flat).reshape(*z.shape[:-1], -1))


def build(job: dict, columns: dict[str, int]) -> nn.Module:
    dim = job["dim"]
    encoders = nn.ModuleDict({name: Encoder(size, dim) for name, size in columns.items()})
    decoders = nn.ModuleDict({name: Decoder(dim, size) for name, size in columns.items()})
    common = {
        "n_modalities": len(columns),
        "latent_dim": dim,
        "input_dims": {name: (size,) for name, size in columns.items()},
        "decoders_dist": dict.fromkeys(columns, "normal"),
        "decoder_dist_params": {name: {"scale": job["scale"]} for name in columns},
        "beta": job.get("beta", 1.0),
    }
    if job["model"] == "jmvae":
        joint = JointEncoder(sum(columns.values()), dim)
        return JMVAE(JMVAEConfig(**common, warmup=1), dict(encoders), dict(decoders), joint)
    return MoPoE(MoPoEConfig(**common), dict(encoders), dict(decoders))


def batch(job: dict, held: dict, chance: torch.Generator) -> DatasetOutput:
    """Matched rows, and for MoPoE unmatched ones whose other domain is masked."""
    names = list(held["pairs"])
    count = len(held["pairs"][names[0]])
    rows = torch.randint(count, (min(job["batch"], count),), generator=chance)
    data = {name: [held["pairs"][name][rows]] for name in names}
    masks = {name: [torch.ones(len(rows), dtype=torch.bool)] for name in names}
    if job["model"] == "mopoe":
        for name in names:
            alone = held["alone"][name]
            some = torch.randint(len(alone), (job["unmatched"],), generator=chance)
            for other in names:
                here = other == name
                values = alone[some] if here else torch.zeros(len(some), data[other][0].shape[1])
                data[other].append(values)
                masks[other].append(torch.full((len(some),), here))
    joined = {name: torch.cat(pieces) for name, pieces in data.items()}
    if job["model"] == "jmvae":
        return DatasetOutput(data=joined)
    return DatasetOutput(data=joined, masks={n: torch.cat(pieces) for n, pieces in masks.items()})


@torch.no_grad()
def errors(model: nn.Module, rows: dict[str, torch.Tensor]) -> dict[str, float]:
    """Direction -> normalised squared error of the mean translation."""
    found = {}
    for source in rows:
        for target in rows:
            if source == target:
                continue
            given = MultimodalBaseDataset({source: rows[source]})
            if isinstance(model, MoPoE):
                zeros = {n: x if n == source else torch.zeros_like(x) for n, x in rows.items()}
                masks = {n: torch.full((len(x),), n == source) for n, x in rows.items()}
                given = IncompleteDataset(zeros, masks)
            z = model.encode(given, cond_mod=source, return_mean=True).z
            told = model.decoders[target](z).reconstruction.reshape(rows[target].shape)
            truth = rows[target].double()
            variance = truth.var(dim=0, correction=0)
            column = (told.double() - truth).square().mean(dim=0)
            found[f"{source} -> {target}"] = float((column / variance)[variance > 1e-8].mean())
    return found


def main() -> None:
    job = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    flat = load_file(job["latents"])
    held: dict[str, dict[str, torch.Tensor]] = {}
    for name, values in flat.items():
        part, domain = name.split(".")
        held.setdefault(part, {})[domain] = values
    torch.manual_seed(job["seed"])
    model = build(job, {name: values.shape[1] for name, values in held["pairs"].items()})
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": job["decay"]},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=job["lr"])
    chance = torch.Generator().manual_seed(job["seed"])
    best: tuple[float, dict[str, float]] = (math.inf, {})
    for step in range(job["steps"]):
        share = step / job["steps"]
        for group in optimizer.param_groups:
            group["lr"] = job["lr"] * min(share / 0.05, 0.505 + 0.495 * math.cos(math.pi * share))
        model.train()
        loss = model(batch(job, held, chance), epoch=2).loss
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % max(job["steps"] // 40, 1) == 0:
            model.eval()
            validation = sum(errors(model, held["validation"]).values()) / 2
            if validation < best[0]:
                best = (validation, errors(model, held["test"]))
    print(json.dumps({"validation": best[0], "errors": best[1]}))


if __name__ == "__main__":
    main()
