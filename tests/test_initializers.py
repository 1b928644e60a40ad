import pytest
import torch

from globalworkspace import DomainModule, GlobalWorkspace, LatentSpec, Table
from globalworkspace.closed_form import cca as closed_form_cca
from globalworkspace.errors import ConfigError, DataError
from globalworkspace.evaluation.retrieval import recall_at, retrieval
from globalworkspace.evaluation.translation import translation_error
from globalworkspace.initializers import cca
from globalworkspace.registry import get_registry
from globalworkspace.standard_table import standardize_table


class Numbers(DomainModule):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.latent = LatentSpec.continuous(dim)

    def encode(self, raw):
        return torch.as_tensor(raw, dtype=torch.float32)

    def config(self):
        return {"dim": self.latent.dim}


def views(count: int = 400, dims: tuple[int, ...] = (5, 4), seed: int = 0) -> dict:
    """Linear views of three shared factors."""
    shared = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    found = {}
    for index, dim in enumerate(dims):
        generator = torch.Generator().manual_seed(50 + index)
        found["abcd"[index]] = shared @ torch.randn(3, dim, generator=generator)
    return found


def start(columns: dict, matched: int = 400, **options):
    settings = {"dim": 4, "linear_path": True, "fusion": "mean", "activation": "none"}
    settings |= {
        k: options.pop(k) for k in list(options) if k in (*settings, "num_layers", "hidden_dim")
    }
    workspace = GlobalWorkspace({n: Numbers(v.shape[1]) for n, v in columns.items()}, **settings)
    table = Table.from_columns(columns)
    workspace.fit_standardizers(columns)
    known = standardize_table(workspace, table.match(matched, seed=0))
    cca(workspace, known, **options)
    return workspace.eval(), known, standardize_table(workspace, table)


def test_it_is_registered_as_cca():
    assert get_registry().load("initializer", "cca") is cca


def test_on_a_linear_toy_translation_and_retrieval_are_exact_from_the_start():
    workspace, _, everything = start(views(), shrinkages=[0.0], alphas=[0.0])
    assert max(translation_error(workspace, everything).values()) < 1e-6
    assert min(r[1] for r in retrieval(workspace, everything).values()) == 1


def test_behind_a_tanh_it_is_nearly_exact():
    workspace, _, everything = start(views(), shrinkages=[0.0], alphas=[0.0], activation="tanh")
    assert max(translation_error(workspace, everything).values()) < 0.01
    assert min(r[1] for r in retrieval(workspace, everything).values()) > 0.95


def test_unmatched_rows_blur_it_only_as_far_as_their_covariance_differs():
    workspace, _, everything = start(views(), 60, shrinkages=[0.0], alphas=[0.0])
    assert max(translation_error(workspace, everything).values()) < 0.02


def test_retrieval_equals_that_of_the_closed_form_with_noise():
    columns = views()
    generator = torch.Generator().manual_seed(9)
    columns = {n: v + torch.randn(v.shape, generator=generator) for n, v in columns.items()}
    workspace, known, everything = start(columns, 60, shrinkages=[0.1], powers=[1.0])
    rows = known.matched_rows()
    own = {n: known[n].take(known[n].present.nonzero().flatten()) for n in known}
    found = closed_form_cca(
        known["a"].take(rows), known["b"].take(rows), own["a"], own["b"], dim=4, shrinkages=[0.1]
    )
    x, y = found.project_x(everything["a"].cells), found.project_y(everything["b"].cells)
    x, y = (torch.nn.functional.normalize(v, dim=1) for v in (x, y))
    got = retrieval(workspace, everything)["a -> b"]
    for k, recall in recall_at(x @ y.T).items():
        assert got[k] == pytest.approx(recall, abs=0.006)  # float32 may turn a near tie


def test_three_domains_start_joined_also_where_no_row_has_all_of_them():
    columns = views(2000, dims=(5, 4, 6))
    workspace = GlobalWorkspace(
        {n: Numbers(v.shape[1]) for n, v in columns.items()},
        dim=4,
        linear_path=True,
        activation="none",
    )
    table = Table.from_columns(columns)
    workspace.fit_standardizers(columns)
    known = table.match({("a", "b"): 300, ("b", "c"): 300}, seed=0)
    cca(workspace, standardize_table(workspace, known), shrinkages=[0.001], alphas=[1e-4])
    errors = translation_error(workspace, standardize_table(workspace, table))
    assert max(errors.values()) < 0.05, errors
    assert "c" in " ".join(errors)


def test_the_mlp_beside_the_linear_path_starts_at_zero_and_spare_dimensions_too():
    workspace, _, _ = start(views(), dim=7, shrinkages=[0.1])
    assert not workspace.encoder("a").output.weight.any()
    assert not workspace.decoder("a").output.weight.any()
    assert not workspace.encoder("a").linear.weight[4:].any()


@pytest.mark.parametrize("num_layers", [1, 3])
def test_anchors_turn_a_curved_relation_into_states_that_agree(num_layers):
    angle = torch.rand(500, generator=torch.Generator().manual_seed(0)) * 6.28
    columns = {
        "a": torch.stack([angle.cos(), angle.sin()], dim=1),
        "b": torch.stack([(2 * angle).cos(), (3 * angle).sin(), (2 * angle).sin()], dim=1),
    }
    options = {"dim": 16, "hidden_dim": 60, "num_layers": num_layers, "shrinkages": [1e-4, 0.01]}
    straight, _, everything = start(columns, 80, **options)
    curved, _, _ = start(columns, 80, features="anchors", **options)
    plain, bent = (retrieval(w, everything)["a -> b"][5] for w in (straight, curved))
    assert bent > 2 * plain


def test_a_frozen_network_keeps_its_weights():
    columns = views()
    workspace = GlobalWorkspace(
        {n: Numbers(v.shape[1]) for n, v in columns.items()}, linear_path=True
    )
    workspace.fit_standardizers(columns)
    workspace.set_trainable({"b"})
    before = workspace.encoder("a").linear.weight.clone()
    cca(workspace, standardize_table(workspace, Table.from_columns(columns)), shrinkages=[0.1])
    assert torch.equal(before, workspace.encoder("a").linear.weight)


def test_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    start(views(), features="anchors", hidden_dim=32)
    assert torch.equal(state, torch.get_rng_state())


def test_a_workspace_without_linear_paths_is_told_what_to_do():
    with pytest.raises(ConfigError, match="linear_path=True"):
        start(views(), linear_path=False)


@pytest.mark.parametrize("option", [{"scale": 0.0}, {"features": "cubic"}, {"sharpness": -1.0}])
def test_a_setting_out_of_range_is_named(option):
    with pytest.raises(ConfigError, match=next(iter(option))):
        start(views(), **option)


def test_one_domain_cannot_be_joined():
    workspace = GlobalWorkspace({"a": Numbers(5)}, linear_path=True)
    with pytest.raises(DataError, match="two domains or more"):
        cca(workspace, Table.from_columns({"a": torch.randn(9, 5)}))
