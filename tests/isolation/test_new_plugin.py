"""A generated plugin in a clean environment: its tests pass, and its kind is there."""

import pytest
import throwaway

from globalworkspace.commands.new_plugin import write_plugin

pytestmark = pytest.mark.slow


def test_a_generated_plugin_is_installed_and_passes_its_tests_beside_the_core_alone(tmp_path):
    home = write_plugin("touch", tmp_path / "globalworkspace-touch")
    core = throwaway.build_wheel(throwaway.ROOT, tmp_path / "wheels")
    own = throwaway.build_wheel(home, tmp_path / "wheels")
    environment = throwaway.make_environment(tmp_path, core, own)
    listed = environment.command("plugins", "--check").stdout
    assert "touch (globalworkspace-touch 0.1.0)" in listed
    assert ["domain", "touch", "ok"] in [line.split()[:3] for line in listed.splitlines()]
    tests = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", home / "tests")
    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert " failed" not in tests.stdout
    assert environment.run("-c", "import globalworkspace_vision").returncode == 1  # it is clean
