"""The probe on simulated sites, and wrong variants of it that these sites give away."""

import json
import warnings

import pytest
import torch
from globalworkspace_probes.integration import (
    control_features,
    integration_probe,
    probe,
    rich_model,
    simulate_sites,
)
from globalworkspace_probes.integration.ridge import Fold
from globalworkspace_probes.integration.simulate import (
    HARDER_NULL_KINDS,
    INTERACTION,
    NULL_KINDS,
)

from globalworkspace.errors import ConfigError, DataError

PAPERS = ("unimodal", "concat")


def judged(drawn, **options):
    features = control_features(rich_model, drawn.tracks)
    return integration_probe(features, drawn.responses, **{"resamples": 300, **options})


def small(**options):
    return simulate_sites(0, **{"sites": 3, "events": 300, **options})


@pytest.fixture(scope="module")
def drawn():
    return simulate_sites(11)


@pytest.fixture(scope="module")
def result(drawn):
    return judged(drawn)


def test_interaction_sites_are_flagged_and_no_others(drawn, result):
    counts = drawn.of_kind(result.flagged())
    assert counts[INTERACTION] >= 36
    assert all(counts[kind] <= 3 for kind in NULL_KINDS), counts


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 26))
def test_the_same_holds_on_seeds_that_no_figure_is_made_of(seed):
    drawn = simulate_sites(seed, kinds=(*NULL_KINDS, *HARDER_NULL_KINDS, INTERACTION))
    counts = drawn.of_kind(judged(drawn, resamples=1000).flagged())
    assert counts.pop(INTERACTION) >= 36
    assert max(counts.values()) <= 3, counts


def test_without_the_concat_gate_sites_that_add_both_domains_would_be_flagged(drawn, result):
    assert drawn.of_kind(result.flagged(["unimodal", "mispaired"]))["additive"] > 3
    assert drawn.of_kind(result.flagged([*PAPERS, "mispaired"]))["additive"] <= 3


def test_without_the_mispaired_gate_better_features_of_one_domain_would_be_flagged(drawn, result):
    assert drawn.of_kind(result.flagged(PAPERS))["nonlinear vision"] > 30
    assert drawn.of_kind(result.flagged([*PAPERS, "mispaired"]))["nonlinear vision"] <= 3


def test_without_the_additive_gate_sums_of_better_features_would_be_flagged():
    drawn = simulate_sites(11, kinds=(*HARDER_NULL_KINDS, INTERACTION))
    found = judged(drawn)
    counts = drawn.of_kind(found.flagged())
    assert counts.pop(INTERACTION) >= 36 and max(counts.values()) <= 3
    without = drawn.of_kind(found.flagged([*PAPERS, "mispaired"]))
    assert without["nonlinear vision + nonlinear language"] > 3


def test_scored_on_events_that_were_fitted_noise_would_be_flagged(monkeypatch):
    drawn = simulate_sites(11, kinds=["noise"])
    assert int(judged(drawn).flagged(PAPERS).sum()) <= 3

    def seen_before(events, folds):
        every = torch.arange(events)
        return [Fold(train=every, validation=every[::2], scored=every[1::2])]

    monkeypatch.setattr(probe, "contiguous_folds", seen_before)
    assert int(judged(drawn).flagged(PAPERS).sum()) > 20


def test_without_correction_more_sites_would_be_flagged_falsely():
    drawn = simulate_sites(11, kinds=["nonlinear vision"], sites=80)
    tracks = {
        name: drawn.tracks[name].roll(lag, 0) for name, lag in (("vision", 0), ("language", 600))
    }
    features = {"workspace": rich_model(drawn.tracks), "mispaired": rich_model(tracks)}
    found = integration_probe(features, drawn.responses, gates=["mispaired"], resamples=300)
    assert int((found.p_values["mispaired"] <= 0.05).sum()) > int(found.flagged().sum())
    assert int(found.flagged().sum()) <= 6


def test_sites_that_pass_together_pass_each_gate_corrected_by_itself(result):
    each = torch.stack([result.adjusted(gate) <= 0.05 for gate in result.p_values]).all(dim=0)
    assert (each | ~result.flagged()).all()
    for fewer in (PAPERS, [*PAPERS, "mispaired"]):
        assert int(result.flagged(fewer).sum()) >= int(result.flagged().sum())


def test_a_gate_takes_the_weakest_of_its_comparisons():
    # three draws after the data itself, two sites; the second control is the stronger at site 0
    scores = {
        "workspace": torch.tensor([[0.5, 0.5], [0.4, 0.5], [0.5, 0.5], [0.6, 0.5]]),
        "first": torch.tensor([[0.1, 0.6], [0.1, 0.6], [0.1, 0.6], [0.1, 0.6]]),
        "second": torch.tensor([[0.3, 0.2], [0.45, 0.2], [0.3, 0.2], [0.3, 0.2]]),
    }
    scores = {name: score.double() for name, score in scores.items()}
    difference, p = probe._compared(scores, ["first", "second"], torch.tensor([True, True]))
    assert p.tolist() == [(1 + 1) / 4, (1 + 3) / 4]  # draws without gain: one of three, all of them
    assert difference[:, 0].tolist() == pytest.approx([0.2, -0.1])
    assert difference[1].tolist() == pytest.approx([-0.1, -0.1, -0.1])
    assert probe._compared(scores, ["first"], torch.tensor([True, False]))[1].tolist() == [
        0.25,
        1.0,
    ]


def test_a_control_that_is_the_workspace_itself_is_never_beaten():
    drawn = small(kinds=[INTERACTION])
    state = rich_model(drawn.tracks)
    found = integration_probe(
        {"workspace": state, "concat": state}, drawn.responses, gates=["concat"], resamples=50
    )
    assert found.p_values["concat"].tolist() == [1.0] * 3
    assert found.differences["concat"].abs().max() == 0
    assert not found.flagged().any()


def test_bins_without_signal_are_left_out_of_a_sites_score():
    drawn = small(kinds=["vision", INTERACTION], bins=20, events=600)
    found = judged(drawn, resamples=100)
    assert ((found.kept_bins >= 8) & (found.kept_bins <= 14)).all()  # ten hold signal
    whole = judged(small(kinds=["vision", INTERACTION], bins=20, events=600), min_bins=20)
    assert not whole.judged.any() and not whole.flagged().any()
    assert (found.correlations["workspace"] > 1.5 * whole.correlations["workspace"]).all()


def test_one_bin_needs_no_dimension_of_its_own():
    drawn = small()
    features = control_features(rich_model, drawn.tracks)
    cube = integration_probe(features, drawn.responses, resamples=50)
    flat = integration_probe(features, drawn.responses[:, :, 0], resamples=50)
    assert cube.rows() == flat.rows()


def test_a_site_is_judged_by_itself_whatever_stands_beside_it(monkeypatch):
    drawn = small(bins=2, kinds=["vision", INTERACTION])
    found = judged(drawn, resamples=50)
    order = torch.arange(6).flip(0)
    drawn_again = judged(
        drawn.__class__(
            tracks=drawn.tracks, responses=drawn.responses[order], kinds=drawn.kinds[::-1]
        ),
        resamples=50,
    )
    monkeypatch.setattr(probe, "_CELLS", 1)  # one site at a time
    single = judged(drawn, resamples=50)
    for gate, p in found.p_values.items():
        assert p.equal(single.p_values[gate])
        assert p.equal(drawn_again.p_values[gate][order])


def test_equal_seeds_give_equal_tables_and_other_seeds_other_draws():
    drawn = small()
    rows = [judged(drawn, resamples=50, seed=seed).rows() for seed in (0, 0, 1)]
    assert rows[0] == rows[1] != rows[2]


def test_the_table_has_a_json_able_row_for_each_site_by_its_name():
    drawn = small(kinds=[INTERACTION])
    found = judged(drawn, sites=["LT1", "LT2", "RT1"])
    rows, summary = found.rows(), found.summary()
    assert [row["site"] for row in rows] == ["LT1", "LT2", "RT1"]
    assert {"r workspace", "r mispaired: language by 75", "gain concat", "p additive"} <= set(
        rows[0]
    )
    assert summary["flagged"] == len(summary["flagged_sites"]) == sum(r["flagged"] for r in rows)
    json.dumps([rows, summary], allow_nan=False)


def test_further_controls_are_gates_too_unless_gates_are_named():
    drawn = small(sites=10, events=600, kinds=["nonlinear vision", INTERACTION])
    features = control_features(rich_model, drawn.tracks)
    chance = torch.Generator().manual_seed(0)
    mixed = torch.randn(16, 40, generator=chance, dtype=torch.float64)
    features["untrained"] = torch.tanh(features["concat"] @ mixed)
    features["unmatched"] = rich_model(
        {**drawn.tracks, "language": drawn.tracks["language"].roll(100, 0)}
    )
    found = integration_probe(features, drawn.responses, resamples=300)
    assert list(found.p_values)[-2:] == ["untrained", "unmatched"]
    counts = drawn.of_kind(found.flagged())
    assert counts["nonlinear vision"] == 0 and counts[INTERACTION] >= 8
    only = integration_probe(features, drawn.responses, gates=["untrained"], resamples=300)
    assert list(only.p_values) == ["untrained"] and "concat" in only.correlations
    turned = {**features, "workspace": features["untrained"], "trained": features["workspace"]}
    against = integration_probe(turned, drawn.responses, gates=["trained"], resamples=300)
    assert not against.flagged().any()


def test_a_gate_without_control_is_refused():
    drawn = small()
    features = control_features(rich_model, drawn.tracks)
    del features["mispaired"]
    with pytest.raises(ConfigError, match='hold no "mispaired"'):
        integration_probe(features, drawn.responses)
    with pytest.raises(ConfigError, match='no "conact".*Did you mean "concat"'):
        integration_probe(features, drawn.responses, gates=["conact"])
    for gates in ([], ["workspace"]):
        with pytest.raises(ConfigError, match="a gate is the name of a control"):
            integration_probe(features, drawn.responses, gates=gates)
    found = integration_probe(features, drawn.responses, gates=PAPERS, resamples=20)
    with pytest.raises(ConfigError, match='"mispaired" was not judged'):
        found.flagged(["mispaired"])


def test_responses_and_features_that_do_not_fit_are_refused_with_their_name():
    drawn = small()
    features = control_features(rich_model, drawn.tracks)
    with pytest.raises(DataError, match=r'"workspace" have the shape \(300, 40\); \(299, D\)'):
        integration_probe(features, drawn.responses[:, 1:])
    broken = drawn.responses.clone()
    broken[4, 7, 0] = float("nan")
    with pytest.raises(DataError, match="site 4 to event 7, bin 0"):
        integration_probe(features, broken)
    with pytest.raises(DataError, match='"unimodal: vision" hold NaN'):
        holey = {**features, "unimodal": {"vision": drawn.tracks["vision"] / 0}}
        integration_probe(holey, drawn.responses)
    with pytest.raises(DataError, match="2 names were given for 18 sites"):
        integration_probe(features, drawn.responses, sites=["a", "b"])
    with pytest.raises(DataError, match=r"\(5,\) were given"):
        integration_probe(features, torch.zeros(5))
    with pytest.raises(DataError, match='"workspace" are 1 tables; one is needed'):
        integration_probe({**features, "workspace": {"a": features["concat"]}}, drawn.responses)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"level": 0.0}, "level=0.0"),
        ({"min_bins": 2}, "responses of 1 bins"),
        ({"block": 16}, "stretches of 30 events"),
        ({"block": 0}, "block=0"),
    ],
)
def test_settings_out_of_range_are_refused(setting, words):
    with pytest.raises(ConfigError, match=words):
        judged(small(), **setting)


def test_blocks_shorter_than_what_responses_remember_are_warned_of():
    slow = small(persistence=0.98, kinds=["vision"], sites=20)
    with pytest.warns(UserWarning, match="Responses 5 events apart still correlate by 0.8"):
        judged(slow, block=5, resamples=20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        judged(small(persistence=0.5), resamples=20)
