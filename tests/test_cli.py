import pytest
from core_domains import plugin

from globalworkspace import __version__
from globalworkspace.cli import main
from globalworkspace.registry import discover, get_registry


def test_no_argument_lists_the_commands(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in ("train", "translate", "fit-domain", "plugins"))


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"globalworkspace {__version__}\n"


def test_a_misspelt_command_names_the_nearest(capsys):
    assert main(["trian", "run.toml"]) == 2
    assert 'Did you mean "train"?' in capsys.readouterr().err


def test_help_is_no_failure_and_missing_arguments_are(capsys):
    assert main(["train", "--help"]) == 0
    assert main(["train"]) == 2
    captured = capsys.readouterr()
    assert "--restart" in captured.out and "required" in captured.err


@pytest.mark.parametrize("name", sorted(get_registry().kinds("command")))
def test_the_help_of_every_command_has_an_example(name, capsys):
    assert main([name, "--help"]) == 0
    assert f"globalworkspace {name}" in capsys.readouterr().out.partition("example:")[2]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt])
def test_an_interruption_exits_with_130(interruption, monkeypatch, capsys):
    def stop(path):
        raise interruption

    monkeypatch.setattr("globalworkspace.settings.read_toml", stop)
    assert main(["train", "run.toml"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_warning_is_one_line_without_a_source_line(monkeypatch, capsys):
    import warnings

    def warn(path):
        warnings.warn("mind the gap", stacklevel=1)
        raise KeyboardInterrupt

    monkeypatch.setattr("globalworkspace.settings.read_toml", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        main(["train", "run.toml"])
    assert capsys.readouterr().err == "warning: mind the gap\ninterrupted\n"


def test_a_folder_that_cannot_be_written_is_a_message(tmp_path, monkeypatch, capsys, script_kinds):
    from run_files import things, write_config, write_csv

    monkeypatch.chdir(tmp_path)
    write_csv(things())
    write_config()
    (tmp_path / "taken").write_text("a file")
    assert main(["train", "run.toml", "--quiet", "--out", "taken"]) == 2
    assert "taken" in capsys.readouterr().err


def test_a_command_that_is_no_command_is_a_message(monkeypatch, capsys):
    registry = discover([plugin("odd", {"register_commands": [("pi", "math:pi")]})])
    monkeypatch.setattr("globalworkspace.cli.get_registry", lambda: registry)
    assert main(["pi"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(
        'error: The command kind "pi" of plugin "odd" (globalworkspace-odd 1.2)'
    )
    assert "a class with add_arguments() and run() is expected" in shown
