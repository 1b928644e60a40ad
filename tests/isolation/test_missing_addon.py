"""A checkpoint outlives the add-on of one of its domains, and says what to install."""

import pytest
import throwaway

from globalworkspace.commands.new_plugin import write_plugin

pytestmark = pytest.mark.slow

MAKE = """
import torch
from globalworkspace import GlobalWorkspace, Table, Trainer, TrainerConfig
from globalworkspace.pretrained import build_domain
cells = torch.randn(60, 3).tolist()
domains = {"skin": build_domain("touch", {}), "tongue": build_domain("taste", {})}
workspace = GlobalWorkspace(domains, dim=4)
table = Table.from_columns({"skin": cells, "tongue": cells})
Trainer(TrainerConfig(steps=20, progress=False)).fit(workspace, table)
workspace.save_pretrained("workspace")
print(workspace.translate({"tongue": [[1.0, 0.0, 1.0]]}, to="tongue"))
"""

USE = """
import warnings
from globalworkspace import GlobalWorkspace
from globalworkspace.errors import WorkspaceError
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    workspace = GlobalWorkspace.from_pretrained("workspace")
for warning in caught: print("WARNING", warning.message)
print(workspace.translate({"tongue": [[1.0, 0.0, 1.0]]}, to="tongue"))
latents = workspace.decode(workspace.encode({"tongue": [[1.0, 0.0, 1.0]]}), "skin", latents=True)
print("LATENTS", tuple(latents.shape))
try: workspace.encode({"skin": [[1.0, 0.0, 1.0]]})
except WorkspaceError as error: print("ERROR", error)
"""


def test_a_workspace_without_one_add_on_works_on_the_others_and_names_what_to_install(tmp_path):
    wheels = [throwaway.build_wheel(throwaway.ROOT, tmp_path / "wheels")]
    for name in ("touch", "taste"):
        home = write_plugin(name, tmp_path / name)
        wheels.append(throwaway.build_wheel(home, tmp_path / "wheels"))
    environment = throwaway.make_environment(tmp_path, *wheels)
    made = environment.run("-c", MAKE, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    environment.uninstall("globalworkspace-touch")
    used = environment.run("-c", USE, cwd=tmp_path)
    assert used.returncode == 0, used.stderr
    lines = used.stdout.splitlines()
    warning = next(line for line in lines if line.startswith("WARNING"))
    assert 'Domain "skin" works on latents only' in warning
    assert "pip install globalworkspace-touch" in warning
    assert made.stdout.strip() in lines  # the same answer as before
    assert "LATENTS (1, 3)" in lines
    error = next(line for line in lines if line.startswith("ERROR"))
    assert "globalworkspace-touch" in error


NETWORKS = """
from globalworkspace import hookimpl
globalworkspace_api = 1
@hookimpl
def register_networks(register):
    register("grip", "globalworkspace.networks:MLPNetworks", summary="a test")
"""


def test_a_workspace_without_the_add_on_of_one_network_works_on_the_other_domains(tmp_path):
    wheels = [throwaway.build_wheel(throwaway.ROOT, tmp_path / "wheels")]
    homes = [
        write_plugin("taste", tmp_path / "taste"),
        throwaway.write_project(
            tmp_path / "grip", "globalworkspace-grip", {"gw_grip.py": NETWORKS}, {"grip": "gw_grip"}
        ),
    ]
    wheels += [throwaway.build_wheel(home, tmp_path / "wheels") for home in homes]
    environment = throwaway.make_environment(tmp_path, *wheels)
    with_network = MAKE.replace("dim=4", "dim=4, networks={'skin': 'grip'}")
    made = environment.run("-c", with_network.replace('"touch"', '"taste"'), cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    environment.uninstall("globalworkspace-grip")
    used = environment.run("-c", USE[: USE.index("latents =")], cwd=tmp_path)
    assert used.returncode == 0, used.stderr
    warning, answer = used.stdout.splitlines()
    assert 'Domain "skin" is left out' in warning
    assert warning.endswith("pip install globalworkspace-grip")
    assert answer == made.stdout.strip()
