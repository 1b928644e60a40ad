"""bfloat16 and compiled steps train as well as plain ones: same test error within seeds' spread."""

import pytest
import torch
from globalworkspace_shapes.dataset import attribute_columns, load

from globalworkspace import GlobalWorkspace, Trainer, TrainerConfig, encode_table
from globalworkspace.evaluation.translation import translation_error
from globalworkspace.pretrained import build_domain, load_domain
from globalworkspace.standard_table import standardize_table

MODES = {
    "plain": {"precision": "fp32"},
    "bf16": {"precision": "bf16"},
    "compiled": {"precision": "fp32", "compile": True},
}


@pytest.mark.slow
def test_every_way_of_computing_ends_at_the_same_error(caplog):
    torch.set_num_threads(1)
    domains = {
        "picture": load_domain("package:globalworkspace_shapes/weights/picture"),
        "attributes": build_domain("attributes", {"columns": attribute_columns()}),
    }
    training, test = (
        encode_table(domains, load(split, rows, domains=tuple(domains)))
        for split, rows in (("train", 4_000), ("test", 1_000))
    )
    errors = {}
    for name, mode in MODES.items():
        errors[name] = []
        for seed in range(3):
            workspace = GlobalWorkspace(domains, dim=16, hidden_dim=64, seed=seed)
            config = TrainerConfig(steps=400, seed=seed, device="cpu", progress=False, **mode)
            Trainer(config).fit(workspace, training, latents=True)
            found = translation_error(workspace, standardize_table(workspace, test))
            errors[name].append(sum(found.values()) / len(found))
    plain = errors.pop("plain")
    assert max(plain) < 0.5
    for values in errors.values():
        spread = max(max(plain) - min(plain), max(values) - min(values))
        assert abs(sum(values) - sum(plain)) / 3 <= spread
    assert "compile=True" not in caplog.text  # no word of a failure
