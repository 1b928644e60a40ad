"""Seven domains of one kind; each row holds the hub and one other, so most pairs never meet."""

import pytest
import torch
from core_domains import Weighted

from globalworkspace import GlobalWorkspace, Table, Trainer, TrainerConfig
from globalworkspace.evaluation.translation import translation_error
from globalworkspace.objectives.contrastive import Contrastive
from globalworkspace.objectives.translation import Translation
from globalworkspace.standard_table import standardize_table

NAMES = ("left", "right", "sound", "word", "number", "touch", "smell")
ROWS_PER_LINK = 150


def hidden(rows, seed):
    return torch.randn(rows, 2, generator=torch.Generator().manual_seed(seed))


def views(values):
    """Name -> what each domain shows of the hidden values, four numbers each."""
    generator = torch.Generator().manual_seed(5)
    return {
        name: torch.tanh(values @ torch.randn(2, 6, generator=generator) / 2)
        @ torch.randn(6, 4, generator=generator)
        for name in NAMES
    }


def star():
    """Rows of (left, right), (left, sound), ...: every pair has `left`, the hub."""
    count = ROWS_PER_LINK * (len(NAMES) - 1)
    columns = {name: [None] * count for name in NAMES}
    seen = views(hidden(count, 0))
    for row in range(count):
        for name in (NAMES[0], NAMES[1 + row // ROWS_PER_LINK]):
            columns[name][row] = seen[name][row].tolist()
    return Table.from_columns(columns)


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    modules = {name: Weighted(4, seed) for seed, name in enumerate(NAMES)}
    workspace = GlobalWorkspace(modules, dim=8, hidden_dim=32)
    config = TrainerConfig(
        steps=300, batch_size=192, learning_rate=3e-3, progress=False, device="cpu"
    )
    Trainer(config, [Translation(), Contrastive(1.0)]).fit(workspace, star())
    return workspace


def errors(workspace):
    unseen = views(hidden(300, 9))
    latents = {name: workspace.domains[name].encode(unseen[name]) for name in NAMES}
    table = Table.from_columns({n: x.detach() for n, x in latents.items()})
    return translation_error(workspace, standardize_table(workspace, table))


def test_every_direction_is_better_than_a_guess_also_between_domains_never_seen_together(trained):
    found = errors(trained)
    assert len(found) == len(NAMES) * (len(NAMES) - 1)
    met = [value for link, value in found.items() if "left" in link]
    never = [value for link, value in found.items() if "left" not in link]
    assert len(never) == 30
    assert max(met) < 0.2
    assert max(never) < 0.4
    assert sum(never) / len(never) < 0.25


def test_two_domains_of_one_kind_have_networks_and_statistics_of_their_own(trained):
    left, right = (trained.standardizer(name).mean for name in ("left", "right"))
    assert type(trained.domains["left"]) is type(trained.domains["right"])
    assert not torch.allclose(left, right)
    one, other = (next(trained.encoder(name).parameters()) for name in ("left", "right"))
    assert not torch.equal(one, other)


def test_seven_domains_survive_saving(trained, tmp_path):
    trained.save_pretrained(tmp_path / "ws")
    again = GlobalWorkspace.from_pretrained(tmp_path / "ws", domains=trained.domains)
    assert tuple(again.domains) == NAMES
    assert errors(again) == errors(trained)


def test_any_subset_of_seven_domains_is_fused(trained):
    unseen = views(hidden(4, 3))
    for count in range(1, len(NAMES) + 1):
        state = trained.encode({name: unseen[name] for name in NAMES[:count]})
        assert state.code.shape == (4, 8)
        assert len(trained.decode(state, "smell")) == 4
