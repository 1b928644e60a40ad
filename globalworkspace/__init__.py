"""Join modalities you hold mostly unmatched, through a Global Workspace.

Importing this imports no torch: each public name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from globalworkspace.augmentation import Augmentation as Augmentation
    from globalworkspace.data.cells import Alternatives as Alternatives
    from globalworkspace.data.encoding import encode_table as encode_table
    from globalworkspace.data.latent_store import LatentStore as LatentStore
    from globalworkspace.data.table import Table as Table
    from globalworkspace.domain import DomainModule as DomainModule
    from globalworkspace.domain import Rendering as Rendering
    from globalworkspace.errors import WorkspaceError as WorkspaceError
    from globalworkspace.fusion import Fusion as Fusion
    from globalworkspace.fusion import State as State
    from globalworkspace.gallery import GalleryDecoding as GalleryDecoding
    from globalworkspace.hookspecs import hookimpl as hookimpl
    from globalworkspace.latents import LatentSpec as LatentSpec
    from globalworkspace.latents import Part as Part
    from globalworkspace.objectives.base import Objective as Objective
    from globalworkspace.one_call import Run as Run
    from globalworkspace.one_call import fit as fit
    from globalworkspace.pretrained import load_domain as load_domain
    from globalworkspace.pretrained import save_domain as save_domain
    from globalworkspace.recipes import default_objectives as default_objectives
    from globalworkspace.route import Route as Route
    from globalworkspace.training.callbacks import Callback as Callback
    from globalworkspace.training.trainer import Trainer as Trainer
    from globalworkspace.training.trainer import TrainerConfig as TrainerConfig
    from globalworkspace.workspace import GlobalWorkspace as GlobalWorkspace

_HOME = {
    "Alternatives": "data.cells",
    "Augmentation": "augmentation",
    "Callback": "training.callbacks",
    "DomainModule": "domain",
    "Fusion": "fusion",
    "GalleryDecoding": "gallery",
    "GlobalWorkspace": "workspace",
    "LatentSpec": "latents",
    "LatentStore": "data.latent_store",
    "Objective": "objectives.base",
    "Part": "latents",
    "Rendering": "domain",
    "Route": "route",
    "Run": "one_call",
    "State": "fusion",
    "Table": "data.table",
    "Trainer": "training.trainer",
    "TrainerConfig": "training.trainer",
    "WorkspaceError": "errors",
    "default_objectives": "recipes",
    "encode_table": "data.encoding",
    "fit": "one_call",
    "hookimpl": "hookspecs",
    "load_domain": "pretrained",
    "save_domain": "pretrained",
}

__all__ = list(_HOME)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'globalworkspace' has no attribute {name!r}")
    return getattr(importlib.import_module(f"globalworkspace.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
