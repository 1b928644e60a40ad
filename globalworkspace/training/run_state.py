"""What a checkpoint of a run holds, how a run goes on from it, and whether it is the same run."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from torch import Tensor

from globalworkspace.data.cells import digest_cells
from globalworkspace.data.table import Table
from globalworkspace.errors import CheckpointError, ConfigError
from globalworkspace.folders import load_json, load_tensors
from globalworkspace.objectives.base import Objective, described
from globalworkspace.training import checkpoint
from globalworkspace.workspace import GlobalWorkspace

if TYPE_CHECKING:
    from globalworkspace.training.run import Run

log = logging.getLogger(__name__)

FREE = ("progress", "device")
"""Settings that may change from one part of a run to the next."""


def run_identity(
    workspace: GlobalWorkspace, objectives: Sequence[Objective], data: Table
) -> dict[str, str | None]:
    """What a run is a run of: what must be the same where it goes on, and a digest of each.

    Args:
        workspace: Its settings and its domains' latents count.
        objectives: Their kinds and plain settings count.
        data: The training rows, as latents.
    """
    specs = {name: workspace.spec(name).to_json() for name in workspace.domains}
    rows = {n: [column.cells, column.first, column.count] for n, column in data.columns.items()}
    return {
        "workspace": _digest([workspace.config(), specs]),
        "objectives": _digest([described(objective) for objective in objectives]),
        "training rows": digest_cells({name: _content(parts) for name, parts in rows.items()}),
    }


def _content(parts: Sequence[Any]) -> list[Any]:
    """Latents in files stand for themselves by the digest that they are stored under."""
    return [getattr(part, "key", part) for part in parts]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def save_state(run: Run, folder: Path) -> None:
    """Write the checkpoint of the step that `run` has come to.

    Raises:
        StorageError: If it cannot be written; earlier ones are still there.
    """
    tensors = {f"workspace.{n}": v for n, v in run.workspace.state_dict().items()}
    tensors |= {f"objectives.{n}": v for n, v in run.orchestrator.state_dict().items()}
    tensors |= {f"best.{n}": v for n, v in (run.best_weights or {}).items()}
    optimizer, members = run.optimizer.state()
    tensors |= {f"optimizer.{n}": v for n, v in optimizer.items()}
    tensors["order"] = run.order
    state = {
        "step": run.step,
        "best_step": run.best_step,
        "best_error": None if run.best_step is None else run.best_error,
        "config": attrs.asdict(run.config),
        "identity": run.identity,
        "history": run.history,
        "optimized": members,
        "stopped": run.told.stopped,
        "skipped": run.skipped,
        "rolled_back": run.rolled_back,
        "passed_over": run.passed_over,
    }
    checkpoint.write_checkpoint(folder, run.step, tensors, state)


def restore_state(run: Run, found: Path) -> None:
    """Bring `run` to where the checkpoint `found` was written.

    Raises:
        ConfigError: If it is of another run, naming what differs.
        CheckpointError: If it does not fit.
    """
    state = load_json(found / "state.json")
    _refuse_another(run, found, state)
    tensors = load_tensors(found / "state.safetensors")

    def part(prefix: str) -> dict[str, Tensor]:
        marked = prefix + "."
        return {
            n.removeprefix(marked): v.to(run.device)
            for n, v in tensors.items()
            if n.startswith(marked)
        }

    try:
        run.workspace.load_state_dict(part("workspace"))
        run.orchestrator.load_state_dict(part("objectives"))
    except RuntimeError as error:
        raise CheckpointError(
            f'The checkpoint "{found}" is of another workspace or other objectives: {error}'
        ) from None
    run.optimizer.load(part("optimizer"), state["optimized"])
    run.best_weights = part("best") or None
    run.step, run.best_step, run.history = state["step"], state["best_step"], state["history"]
    run.best_error = math.inf if state["best_error"] is None else state["best_error"]
    run.told.stopped = state.get("stopped")
    run.skipped, run.rolled_back, run.passed_over = (
        state.get(name, 0) for name in ("skipped", "rolled_back", "passed_over")
    )
    if "order" in tensors:
        run.order = tensors["order"]
    log.info("resumed %s at step %d", found, run.step)


def _refuse_another(run: Run, found: Path, state: Mapping[str, Any]) -> None:
    before, now = state["config"], attrs.asdict(run.config)
    changed = sorted(n for n, x in now.items() if n not in FREE and before.get(n, x) != x)
    saved = state.get("identity") or {}
    changed += [
        what
        for what, digest in run.identity.items()
        if None not in (digest, saved.get(what)) and saved[what] != digest
    ]
    if changed:
        text = (
            f'The checkpoint "{found}" was made with another {", ".join(changed)}. Go on with the '
            "same, give another run folder, or begin anew: resume=False, --restart on the command "
            "line, which removes it."
        )
        if "training rows" in changed:
            text += (
                " Latents made anew on another machine differ in their last bits: take those "
                "along that were stored (latents/ of a run, store=LatentStore(folder) in Python)."
            )
        raise ConfigError(text)
