import json

import pytest
import torch
from run_files import CONFIG, things, write_csv

from globalworkspace.benchmark import matmul_peak
from globalworkspace.cli import main
from globalworkspace.training.device import pick_device

SMALL = ["--domains", "2,3", "--batch", "16", "--width", "8", "--steps", "4", "--threads", "1"]


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_grid_is_measured_size_by_size(capsys):
    assert main(["benchmark", *SMALL, "--json", "--precision", "fp32,bf16"]) == 0
    found = lines(capsys)
    assert [(x["domains"], x["precision"]) for x in found] == [
        (2, "fp32"),
        (2, "bf16"),
        (3, "fp32"),
        (3, "bf16"),
    ]
    for cost in found:
        assert cost["batch"] == 16 * (1 + cost["domains"])
        assert 0 < cost["fastest_ms"] <= cost["ms"] <= cost["slowest_ms"]
        assert cost["rows_per_s"] == pytest.approx(1000 * cost["batch"] / cost["ms"])
        assert 0 < cost["peak_share"] < 1 and cost["memory_mib"] > 50
    assert found[2]["gflop"] > found[0]["gflop"]


def test_the_operations_are_those_of_the_networks(capsys):
    main(["benchmark", "--domains", "2", "--batch", "16", "--width", "8", "--steps", "1", "--json"])
    (one,) = lines(capsys)
    main(["benchmark", "--domains", "2", "--batch", "32", "--width", "8", "--steps", "1", "--json"])
    (two,) = lines(capsys)
    assert 2.0 <= two["gflop"] / one["gflop"] < 2.2  # twice the rows; the contrastive part is B x B


def test_a_config_is_measured_as_it_would_be_trained(tmp_path, monkeypatch, script_kinds, capsys):
    monkeypatch.chdir(tmp_path)
    write_csv(things())
    (tmp_path / "config.toml").write_text(CONFIG)
    assert main(["benchmark", "config.toml", "--steps", "3", "--json"]) == 0
    (cost,) = lines(capsys)
    assert cost["domains"] == 2 and cost["ms"] > 0
    assert not (tmp_path / "runs").exists()


def test_the_table_has_a_line_for_each_size(capsys):
    assert main(["benchmark", *SMALL]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith(f"{pick_device('auto')}, 1 threads; matrix products reach")
    assert printed[1].split() == "domains rows width precision ms from to rows/s peak MiB".split()
    assert len(printed) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--domains", "two"], '--domains "two" must be whole numbers of at least 2'),
        (["--batch", "1"], '--batch "1"'),
        (["--precision", "fp8"], '--precision "fp8" is unknown'),
    ],
)
def test_bad_sizes_are_named_before_anything_is_measured(words, message, capsys):
    assert main(["benchmark", *words]) == 2
    printed = capsys.readouterr()
    assert message in printed.err and not printed.out


def test_the_peak_is_a_plausible_number():
    assert 1e8 < matmul_peak(torch.device("cpu"), "fp32", size=256) < 1e14
