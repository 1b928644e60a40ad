"""Readers of untrusted bytes, fuzzed by what they run: mutations that reach new lines are kept.

    python tests/reliability/coverage_guided.py [--runs 20000] [--reader NAME]

Atheris mutates one file of a sound small folder. Each reader must end in a right result or in the
library's own error, within 5 seconds and 256 MiB. Needs `pip install atheris`, which is no
dependency of this repository. Prints how many runs there were of each reader, and what was found.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

SECONDS, MEBIBYTES = 5, 256
READERS = {
    "manifest": "manifest.json",
    "json": "config.json",
    "tensors": "model.safetensors",
    "workspace config": "config.json",
    "domain config": "domains/size/config.json",
    "weights": "model.safetensors",
}
"""Reader -> the file of a saved workspace that is mutated for it."""
TOKENS = [None, True, -1, 0, 1, 2, 4, 5, 8, 64, 10**20, 0.5, 1e300, float("nan")]
TOKENS += ["", "..", "/", "\0", "\ud800", "x" * 300, [], {}, [[]], {"kind": "mlp"}]
TOKENS += ["F64", "I8", "BOOL", "single", "mlp", "core:mlp", "attributes", "os:system"]
LOADED, REFUSED, FOUND = b"+", b"-", b"!"


# ---- what is right


def same_json(file, content):
    """`load_json` gives what the JSON reader of Python gives."""
    from globalworkspace.folders import load_json

    assert repr(load_json(file)) == repr(json.loads(content)), "another value"


def claims_hold(folder, content, sound):
    """A manifest is accepted if it says what the sound one does, or only what is so."""
    from globalworkspace.files import digest_file
    from globalworkspace.folders import verify_folder

    verify_folder(folder)
    manifest = json.loads(content)
    if manifest == sound:
        return
    for name, claim in dict(manifest["files"]).items():
        file = (folder / name).resolve()
        assert file.is_relative_to(folder) and file.is_file(), f"{name} is accepted"
        old = manifest["format_version"] == 1
        assert digest_file(file) == (claim if old else claim["sha256"]), f"{name} is accepted"


def same_tensors(file, content):
    """Each tensor holds the bytes that the header gives to it."""
    from globalworkspace.folders import load_tensors

    tensors = load_tensors(file)
    start = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    assert set(tensors) == set(header), "other tensors"
    for name, value in tensors.items():
        first, last = header[name]["data_offsets"]
        held = bytes_of(value)
        assert list(value.shape) == header[name]["shape"], f"another shape of {name}"
        assert held == content[start + first : start + last], f"other values of {name}"


def same_workspace(folder):
    """What is loaded has the domains of the config and the weights of the file."""
    from globalworkspace.folders import load_tensors
    from globalworkspace.pretrained import load_workspace

    loaded = load_workspace(folder)
    config = json.loads((folder / "config.json").read_bytes())
    weights, state = load_tensors(folder / "model.safetensors"), loaded.state_dict()
    assert set(loaded.domains) <= set(config["domains"]), "other domains"
    assert loaded.dim == config["workspace"].get("dim", loaded.dim), "another size"
    for name, value in state.items():
        given = weights[name].to(value.dtype)
        assert bytes_of(value) == bytes_of(given), f"other values of {name}"


def bytes_of(tensor):
    """The content of a tensor of any type."""
    import torch

    return tensor.flatten().view(torch.uint8).numpy().tobytes()


# ---- mutations


def mutated(atheris, data, sound, most, seed):
    """Other bytes; of four, three stay JSON (in tensors the header)."""
    from fuzz import DELETE, places, replaced

    generator = random.Random(seed)
    if generator.random() < 0.25:
        return atheris.Mutate(data, most)
    content, rest = taken_apart(data)
    if not isinstance(content, dict) or not content:
        content, rest = taken_apart(sound)
    paths = [path for path in places(content) if path]
    path, choice = generator.choice(paths), generator.random()
    if choice < 0.15 and isinstance(path[-1], str):  # another name
        name = generator.choice([token for token in TOKENS if isinstance(token, str)])
        kept = content_at(content, path)
        content = replaced(replaced(content, path, DELETE), (*path[:-1], name), kept)
    elif choice < 0.3:
        content = replaced(content, path, DELETE)
    elif choice < 0.5:
        content = replaced(content, path, content_at(content, generator.choice(paths)))
    else:
        content = replaced(content, path, generator.choice(TOKENS))
    result = json.dumps(content).encode()
    if rest is not None:
        if generator.random() < 0.25:
            rest = atheris.Mutate(rest, len(rest) + 64)
        result = struct.pack("<Q", len(result)) + result + rest
    return result if len(result) <= most else data


def content_at(content, path):
    for key in path:
        content = content[key]
    return content


def taken_apart(data):
    """The JSON of a file or of the header of tensors, None if it is none; and what follows it."""
    rest = None
    try:
        if not data.startswith(b"{"):
            start = 8 + struct.unpack("<Q", data[:8])[0]
            data, rest = data[8:start], data[start:]
        return json.loads(data), rest
    except (ValueError, RecursionError, struct.error):
        return None, rest


# ---- a reader in a process of its own


class Reader:
    """Reads the folder with one file replaced, and notes how that ended.

    Args:
        name: Of `READERS`.
        home: A folder for the files of this process.
        findings: Where inputs that fail are kept.
    """

    def __init__(self, name, home, findings):
        from globalworkspace.errors import CheckpointError, ConfigError, DomainError, PluginError

        self.errors = (CheckpointError, ConfigError, DomainError, PluginError)
        self.name, self.findings, self.known = name, findings, set()
        self.folder = home / "sound"
        make(self.folder)
        self.file = self.folder / READERS[name]
        self.sound = self.file.read_bytes()
        self.outcomes = (home / "outcomes").open("ab", buffering=0)
        (home / "corpus").mkdir()
        (home / "corpus" / "sound").write_bytes(self.sound)

    def place(self, data):
        """Put the bytes in place of the file; those of half of the manifests signed anew."""
        from hostile import sign

        from globalworkspace.files import digest_json

        if self.name == "manifest" and zlib.crc32(data) % 2:
            try:
                manifest = json.loads(data)
                manifest.pop("digest", None)
                data = json.dumps(manifest | {"digest": digest_json(manifest)}).encode()
            except (ValueError, AttributeError, TypeError, RecursionError):
                pass
        self.file.unlink()  # tensors of the run before may still lie in it
        self.file.write_bytes(data)
        if self.name in ("workspace config", "domain config", "weights"):
            sign(self.folder)
        return data

    def read(self, data):
        if self.name == "manifest":
            claims_hold(self.folder, data, json.loads(self.sound))
        elif self.name == "json":
            same_json(self.file, data)
        elif self.name == "tensors":
            same_tensors(self.file, data)
        else:
            same_workspace(self.folder)

    def __call__(self, data):
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        written = self.place(data)
        try:
            self.read(written)
        except self.errors as error:
            outcome = REFUSED if str(error).strip() else self.found(written, "no message")
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            what = f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}"
            outcome = self.found(written, what, traceback.format_exc())
        else:
            outcome = LOADED
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        if grown > MEBIBYTES << 10:
            outcome = self.found(written, f"more than {MEBIBYTES} MiB")
        if time.process_time() - start > SECONDS:
            outcome = self.found(written, f"more than {SECONDS} s")
        self.outcomes.write(outcome)

    def found(self, data, what, trace=""):
        """Keep the first input of each kind of finding."""
        if what not in self.known:
            self.known.add(what)
            file = self.findings / f"{self.name.replace(' ', '-')}-{len(self.known)}"
            file.write_bytes(data)
            file.with_suffix(".txt").write_text(f"{what}\n{trace}", errors="backslashreplace")
            print(f"FOUND {self.name}: {what}: {data!r:.2000} ({file})\n{trace}", flush=True)
        return FOUND


def make(folder):
    """A small saved workspace: a domain of no kind, and one of attributes if they are here."""
    import torch
    from core_domains import Vector

    from globalworkspace import GlobalWorkspace
    from globalworkspace.latents import Standardizer
    from globalworkspace.registry import get_registry

    domains = {"left": Vector(4), "size": Vector(2)}
    if any(r.kind == "attributes" and r.category == "domain" for r in get_registry().registrations):
        from globalworkspace_attributes import AttributesDomain

        domains["size"] = AttributesDomain({"x": "continuous", "y": {"categories": ["a", "b"]}})
    workspace = GlobalWorkspace(domains, dim=3, hidden_dim=4)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(8, 4, generator=generator)
    workspace.restore_standardizer("left", Standardizer.fit(domains["left"].latent, rows))
    workspace.save_pretrained(folder)


def child(name, runs, home, findings):
    """Fuzz one reader; does not return."""
    import atheris

    with atheris.instrument_imports(include=["globalworkspace"]):
        import fuzz  # noqa: F401
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    reader = Reader(name, home, findings)
    flags = [f"-runs={runs}", f"-timeout={SECONDS}", f"-max_len={4 * len(reader.sound)}"]
    flags += ["-rss_limit_mb=4096", "-seed=1", "-verbosity=0"]
    flags += [f"-artifact_prefix={findings}/{name.replace(' ', '-')}-", str(home / "corpus")]

    def mutate(data, most, seed):
        return mutated(atheris, data, reader.sound, most, seed)

    atheris.Setup([sys.argv[0], *flags], reader, custom_mutator=mutate)
    atheris.Fuzz()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--reader", choices=READERS)
    parser.add_argument("--findings", default=f"{tempfile.gettempdir()}/globalworkspace-findings")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("atheris is missing: pip install atheris", file=sys.stderr)
        return 2
    findings = Path(args.findings)
    findings.mkdir(parents=True, exist_ok=True)
    if args.child:
        child(args.reader, args.runs, Path(args.child), findings)
    counts, failed = {}, False
    for name in [args.reader] if args.reader else READERS:
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder).resolve()
            options = ["--runs", str(args.runs), "--findings", str(findings)]
            command = [sys.executable, __file__, "--reader", name, "--child", str(home), *options]
            with (home / "log").open("wb") as log:
                code = subprocess.run(command, stderr=log).returncode
            outcomes = (home / "outcomes").read_bytes() if (home / "outcomes").exists() else b""
            counts[name] = len(outcomes)
            said = {"loaded": LOADED, "refused": REFUSED, "findings": FOUND}
            print(name, {word: outcomes.count(mark) for word, mark in said.items()}, flush=True)
            failed |= code != 0 or FOUND in outcomes
            if code:
                print(f"exit code {code}\n{(home / 'log').read_text(errors='replace')[-3000:]}")
    print(json.dumps(counts))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
