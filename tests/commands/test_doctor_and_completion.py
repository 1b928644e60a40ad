import importlib.metadata
import json
import os
import subprocess
import sys

from globalworkspace.cli import main
from globalworkspace.commands import doctor
from globalworkspace.registry import PluginRecord, get_registry


def test_doctor_names_what_is_there_and_what_is_not(monkeypatch, capsys):
    real = importlib.metadata.version

    def version(name):
        if name == "ray":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(doctor, "version", version)
    assert main(["doctor", "--json"]) == 0
    found = {entry["what"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert found["torch"]["state"] == "ok" and found["torch"]["found"].startswith(real("torch"))
    assert found["extra ray"] == {
        "what": "extra ray",
        "state": "missing",
        "found": "ray",
        "remedy": "pip install 'globalworkspace[ray]'",
    }
    assert found["extra vision"]["found"].startswith("globalworkspace-vision 0")
    assert main(["doctor"]) == 0
    assert "missing  extra ray" in capsys.readouterr().out


def test_doctor_ends_with_1_where_a_plugin_does_not_work(monkeypatch, capsys):
    import attrs

    record = attrs.evolve(get_registry().plugins[0], name="bad", error="it is old", remedy="Renew.")
    assert isinstance(record, PluginRecord)
    monkeypatch.setattr(get_registry(), "plugins", [*get_registry().plugins, record])
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "broken   plugin bad" in shown and "it is old" in shown and "Renew." in shown


def test_bash_completes_commands_and_options(capsys, tmp_path):
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "completion.sh"
    script.write_text(capsys.readouterr().out)

    def complete(*words):
        text = " ".join(map(repr, words))
        asked = (
            f"source {script}; COMP_WORDS=({text}); COMP_CWORD={len(words) - 1}; "
            "_shtab_globalworkspace; printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert complete("globalworkspace", "re") == ["report", "retrieve"]
    assert "--set" in complete("globalworkspace", "train", "--")


def test_who_stops_reading_ends_the_command_without_a_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "globalworkspace", "doctor"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.returncode == 141 and done.stderr == ""
