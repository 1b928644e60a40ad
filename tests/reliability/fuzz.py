"""Whatever is read: a right result or a typed error, never a crash, a hang or a wrong answer.

    python tests/reliability/fuzz.py [--scale 1.0]

Hypothesis makes saved folders whose JSON or tensors were changed at random (and signed again, so
that digests do not catch it), table files, tables of odd shapes and values that are trained on, and
pages of any text.
Prints how many cases there were, and which failed.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1]))

from core_domains import Vector, small_workspace
from crash import register
from hostile import sign
from pages import PAGES, Seen

from globalworkspace import GlobalWorkspace, Table, Trainer, TrainerConfig
from globalworkspace.data.cells import Alternatives
from globalworkspace.data.readers import read_folder, read_table
from globalworkspace.domain import Rendering
from globalworkspace.errors import WorkspaceError
from globalworkspace.experiment import run_experiment
from globalworkspace.folders import verify_folder
from globalworkspace.objectives.translation import Translation
from globalworkspace.pretrained import load_workspace
from globalworkspace.sheet import Section, write_page

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["../x", "/etc/passwd", "os:system", "left", "mlp", "", "\0", "NaN"]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


class Counter:
    """Runs one kind of case many times, and notes what failed."""

    def __init__(self):
        self.cases, self.refused, self.failures = {}, {}, []

    def run(self, name, number, strategy, case):
        """`case` of drawn values: it may raise a WorkspaceError and nothing else."""
        self.cases[name] = self.refused[name] = 0

        @settings(
            max_examples=number,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def one(value):
            self.cases[name] += 1
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    case(value)
            except WorkspaceError as error:
                self.refused[name] += 1
                if not str(error).strip():
                    self.failures.append(f"{name}: an error without a message for {value!r:.200}")
            except Exception as error:
                self.failures.append(f"{name}: {type(error).__name__}: {error} for {value!r:.300}")

        one()


# ---- saved folders


def places(value, path=()):
    """Every path into nested JSON."""
    found = [path]
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in inner:
        found += places(item, (*path, key))
    return found


def replaced(content, path, value):
    """A copy with `value` at `path`; the key `DELETE` takes it out."""
    content = copy.deepcopy(content)
    if not path:
        return value
    holder = content
    for key in path[:-1]:
        holder = holder[key]
    if value is DELETE:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return content


DELETE = object()


class Saved:
    """A sound saved workspace, of which copies are spoilt."""

    def __init__(self, home):
        self.home = home
        self.modules = {"left": Vector(4), "right": Vector(6)}
        small_workspace((4, 6)).save_pretrained(home / "sound")
        self.contents = {
            name: json.loads((home / "sound" / name).read_text())
            for name in ("config.json", "domains/left/config.json", "manifest.json")
        }
        self.weights = (home / "sound/model.safetensors").read_bytes()

    def fresh(self):
        shutil.rmtree(self.home / "copy", ignore_errors=True)
        shutil.copytree(self.home / "sound", self.home / "copy")
        return self.home / "copy"

    def edits(self):
        options = [
            (name, path) for name, content in self.contents.items() for path in places(content)
        ]
        return st.tuples(st.sampled_from(options), JSON | st.just(DELETE))

    def edited(self, drawn):
        (name, path), value = drawn
        if value is DELETE and not path:
            return
        folder = self.fresh()
        changed = json.dumps(replaced(self.contents[name], path, value))
        (folder / name).write_text(changed)
        if name != "manifest.json":
            sign(folder)
        loaded = load_workspace(folder, self.modules)
        assert isinstance(loaded, GlobalWorkspace)

    def overwritten(self, drawn):
        start, content, cut = drawn
        folder = self.fresh()
        held = bytearray(self.weights)
        start %= len(held)
        held[start : start + len(content)] = content
        (folder / "model.safetensors").write_bytes(bytes(held[: cut % len(held)] if cut else held))
        sign(folder)
        load_workspace(folder, self.modules)

    def random_manifest(self, drawn):
        folder = self.fresh()
        (folder / "manifest.json").write_bytes(drawn)
        verify_folder(folder)
        raise AssertionError("a made-up manifest was accepted")


# ---- table files

FIELDS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), max_size=12
) | st.sampled_from(["", "1", "2.5", "nan", "inf", "-", '"', ",", "\r\n", "\ufeff", "x" * 300])


def as_csv(rows):
    return "\n".join(",".join(row) for row in rows).encode("utf-8", "surrogatepass")


@st.composite
def tables_of_fields(draw):
    """Rows of fields, mostly as many in each."""
    width = draw(st.integers(1, 4))
    even = draw(st.integers(0, 9)) != 7
    header = [f"column{i}" for i in range(width)] if draw(st.integers(0, 9)) != 7 else []
    size = {"min_size": width, "max_size": width} if even else {"min_size": 1, "max_size": 4}
    rows = draw(st.lists(st.lists(FIELDS, **size), min_size=draw(st.integers(0, 2)), max_size=6))
    return [header, *rows] if header else rows


class Files:
    """Readers of tables, on files of any content."""

    def __init__(self, home):
        self.home = home

    def read(self, drawn):
        ending, content = drawn
        file = self.home / f"table{ending}"
        file.write_bytes(content)
        table = read_table(str(file))
        assert len(table) > 0 and table.domains

    def page(self, drawn):
        """A page shows what it is given, and has the tags of one that is given plain words."""
        shown, plain = [], []
        for seen, words in ((shown, drawn), (plain, ["x" if word else "" for word in drawn])):
            title, heading, note, head, cell, name, body, kind = words
            item = Rendering(media_type="image/" + kind, data=b"", alt=name)
            told = Rendering(media_type="text/plain", data=body.encode(), alt=name)
            row = [cell, item, told]
            section = Section(title=heading, headings=[head, "b", "c"], rows=[row], note=note)
            write_page(self.home / "page.html", title, [section])
            seen.append(Seen((self.home / "page.html").read_text(encoding="utf-8")))
        assert shown[0].tags == plain[0].tags, "another tag"
        for text in drawn[:5]:
            assert text.strip() in "\n".join(shown[0].text), "text is lost"

    def folder(self, drawn):
        folder = self.home / "folder"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "a.png").write_bytes(b"no picture")
        (folder / "metadata.csv").write_bytes(drawn)
        table = read_folder(str(folder))
        assert len(table) > 0

    def config(self, drawn):
        """A config with something odd in it; nothing is trained for long."""
        (self.home / "rows.csv").write_text("x,y\n" + "".join(f"{i},{i % 3}\n" for i in range(12)))
        sound = {
            "data": {"kind": "table", "path": str(self.home / "rows.csv")},
            "domains": {
                "a": {"kind": "script-numbers", "column": ["x", "y"]},
                "b": {"kind": "script-numbers", "column": ["y", "x"]},
            },
            "workspace": {"dim": 2, "hidden_dim": 4},
            "training": {"steps": 1, "batch_size": 4, "device": "cpu"},
        }
        pick, value = drawn
        paths = [path for path in places(sound) if path]
        path = paths[pick % len(paths)]
        if path == ("training", "steps") and isinstance(value, int) and value > 5:
            value = 2
        if path[:1] == ("workspace",) and isinstance(value, int) and value > 64:
            value = 64
        config = replaced(sound, path, value)
        shutil.rmtree(self.home / "run", ignore_errors=True)
        run_experiment(config, self.home / "run", progress=False)


# ---- tables

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool]


@st.composite
def latent_columns(draw):
    """Columns of latents: odd lengths, dtypes, strides, values and missing cells."""
    rows = draw(st.sampled_from([20, 20, 20, 20, 20, 5, 2, 1, 0]))
    columns = {}
    for name, dim in (("left", 4), ("right", 6)):
        own = rows if draw(st.integers(0, 19)) != 7 else draw(st.integers(0, 6))
        dtype = draw(st.sampled_from(DTYPES if not draw(st.integers(0, 2)) else DTYPES[:1]))
        width = dim if draw(st.integers(0, 19)) != 7 else draw(st.integers(0, 8))
        values = torch.randn(own, width, generator=torch.Generator().manual_seed(own + width))
        odd = draw(st.sampled_from([*[None] * 8, math.nan, math.inf, 1e30, 0.0]))
        if odd is not None and values.numel():
            values.view(-1)[draw(st.integers(0, values.numel() - 1))] = odd
        values = values.to(dtype)
        form = draw(st.sampled_from(["tensor", "tensor", "strided", "list", "alternatives"]))
        if form == "strided":
            values = torch.stack([values, values], dim=-1)[..., 0]
        if form in ("list", "alternatives"):
            cells = values.tolist()
            if form == "alternatives":
                cells = [Alternatives([cell, cell]) for cell in cells]
            missing = draw(st.sampled_from(["none", "some", "some", "some", "all"]))
            cells = [
                None if missing == "all" or (missing == "some" and draw(st.booleans())) else cell
                for cell in cells
            ]
            columns[name] = cells
        else:
            columns[name] = values
    return columns


def train_on(columns):
    """Two steps on what was drawn: finite weights, or a typed error."""
    table = Table.from_columns(columns)
    workspace = GlobalWorkspace({"left": Vector(4), "right": Vector(6)}, dim=2, hidden_dim=4)
    config = TrainerConfig(steps=2, batch_size=4, log_every=1, device="cpu", progress=False)
    Trainer(config, [Translation()]).fit(workspace, table)
    assert all(value.isfinite().all() for value in workspace.state_dict().values()), "not finite"


def fuzz(home, scale=1.0):
    """All kinds of cases; how many there were, and what failed."""
    counter, saved, files = Counter(), Saved(home), Files(home)
    text = tables_of_fields().map(as_csv)
    records = st.lists(
        st.lists(st.none() | st.integers() | FIELDS, min_size=2, max_size=2), min_size=1, max_size=5
    ).map(lambda rows: [dict(zip("ab", row, strict=True)) for row in rows])
    lines = (records | records | st.lists(JSON, max_size=5)).map(
        lambda x: "\n".join(map(json.dumps, x)).encode()
    )

    def number(share):
        return max(int(share * scale), 1)

    counter.run("JSON of a saved workspace", number(1500), saved.edits(), saved.edited)
    counter.run(
        "tensors of a saved workspace",
        number(1000),
        st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=40), st.integers(0, 10**6)),
        saved.overwritten,
    )
    made_up = st.binary(max_size=200) | JSON.map(lambda x: json.dumps(x).encode())
    counter.run("manifests", number(500), made_up, saved.random_manifest)
    tables = st.tuples(st.just(".csv"), text | text | st.binary(max_size=100)) | st.tuples(
        st.just(".jsonl"), lines | lines | st.binary(max_size=100)
    )
    counter.run("table files", number(1200), tables, files.read)
    named = st.sampled_from(["a.png", "a.png", "", "b.png", "../a.png", "x" * 300])
    rows = st.lists(st.tuples(named, FIELDS), max_size=4)
    head = rows.map(lambda x: b"file_name,caption\n" + as_csv(x))
    counter.run("folders of files", number(400), head | text, files.folder)
    counter.run("configs", number(400), st.tuples(st.integers(0, 100), JSON), files.config)
    counter.run("tables that are trained on", number(600), latent_columns(), train_on)
    counter.run("text on a page", number(400), PAGES, files.page)
    return {
        "cases": sum(counter.cases.values()),
        "by_kind": counter.cases,
        "refused": counter.refused,
        "failures": counter.failures,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    register()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(fuzz(Path(folder).resolve(), args.scale)))


if __name__ == "__main__":
    main()
