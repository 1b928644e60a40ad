"""Checks of how a module is described, built again, told apart, saved and loaded."""

from __future__ import annotations

import copy
import json
import tempfile
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from globalworkspace.domain import CompletesConfig, DomainModule, HasAssets, freeze
from globalworkspace.pretrained import load_domain, save_domain
from globalworkspace.references import digest_files
from globalworkspace.testing.checks import (
    Check,
    CheckFailed,
    NotJudged,
    apart,
    check_light,
)
from globalworkspace.testing.module_checks import check_first_weights
from globalworkspace.testing.subject import DomainSubject

MOST_WEIGHTS = 8
"""How many weights are changed one at a time to see the fingerprint follow."""


def config_is_json_able(subject: DomainSubject) -> None:
    """`config()` holds nothing but what JSON can write."""
    config = subject.original.config()
    try:
        if not isinstance(config, dict):
            raise TypeError(f"it is a {type(config).__name__}")
        json.dumps(config, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckFailed(
            f"config() cannot be written as JSON: {error}.",
            "a dict of numbers, strings, booleans, None, lists and dicts.",
            "turn tensors into lists, paths into strings, and name a class by a string.",
        ) from error


def from_config_builds_the_same_module(subject: DomainSubject) -> None:
    """The config builds a module of the same class, config, latent and weight shapes."""
    config = subject.config()
    try:
        again = type(subject.original).from_config(config)
    except Exception as error:
        raise CheckFailed(
            f"from_config(config()) raised {type(error).__name__}: {error}.",
            "a module.",
            "give config() the constructor's arguments under their own names, as JSON keeps them "
            "(a tuple comes back as a list, a key as a string).",
        ) from error
    if type(again) is not type(subject.original):
        raise CheckFailed(
            f"from_config() built a {type(again).__name__}.",
            f"a {subject.name}.",
            "return cls(...) from from_config().",
        )
    if json.loads(json.dumps(again.config())) != config:
        raise CheckFailed(
            f"The config of the module built again is {again.config()}, not {config}.",
            "the same config.",
            "return every argument of the constructor from config(), with the value it was given.",
        )
    if again.latent != subject.spec:
        raise CheckFailed(
            f"The module built again has the latent {again.latent}, not {subject.spec}.",
            "the same latent.",
            "return the arguments that decide the latent from config().",
        )
    wanted, found = (
        {name: tuple(value.shape) for name, value in module.state_dict().items()}
        for module in (subject.original, again)
    )
    if subject.original.stores_weights and wanted != found:
        name = next(iter({**wanted, **found}.items() - (wanted.items() & found.items())))[0]
        raise CheckFailed(
            f'The module built again differs in the weight "{name}": {found.get(name)} instead of '
            f"{wanted.get(name)}.",
            "weights of the same names and shapes.",
            "return the arguments that decide the weights from config().",
        )


def building_it_twice_from_one_seed_gives_the_same_weights(subject: DomainSubject) -> None:
    """First weights are a function of the config and of torch's global seed."""
    config = subject.config()
    subject.rebuilt()
    check_first_weights(partial(type(subject.original).from_config, config))


def the_fingerprint_is_the_same_for_the_same_module(subject: DomainSubject) -> None:
    """Two calls, and a copy, give one fingerprint."""
    module = subject.module()
    first = module.fingerprint()
    if not (isinstance(first, str) and first):
        raise CheckFailed(
            f"fingerprint() returned {first!r}.",
            "a digest as a string.",
            "leave fingerprint() to the base class, or return a hexdigest().",
        )
    if {module.fingerprint(), copy.deepcopy(module).fingerprint()} != {first}:
        raise CheckFailed(
            "fingerprint() of the same module, or of a copy, is another one.",
            "a digest of what decides the latents, and of nothing else.",
            "digest no id(), path, time or counter.",
        )


def the_fingerprint_follows_the_weights(subject: DomainSubject) -> None:
    """Whatever weight changes the latents changes the fingerprint."""
    subject.need_steady()
    module = subject.module()
    if not _told_apart_soundly(module):
        raise NotJudged("the fingerprint of a copy is another one")
    cells = subject.pick(list(range(min(subject.size, 4))))
    wanted, before = subject.latents(module, cells), module.fingerprint()
    weights = [
        (name, value)
        for name, value in module.state_dict().items()
        if value.is_floating_point() and value.numel()
    ]
    if not weights:
        raise NotJudged("it has no weights")
    step = max(1, -(-len(weights) // MOST_WEIGHTS))
    for name, value in weights[::step]:
        kept = value.detach().clone()
        _shift(value)
        same = not apart(wanted, _encoded(module, cells))
        if not same and module.fingerprint() == before:
            raise CheckFailed(
                f'With another "{name}" the latents change and the fingerprint does not.',
                "another fingerprint, because latents are stored and found again under it.",
                "leave fingerprint() to the base class, or digest every weight that encode() uses.",
            )
        with torch.no_grad():
            value.copy_(kept)


@torch.no_grad()
def _shift(value: Tensor) -> None:
    noise = torch.randn(value.shape, generator=torch.Generator().manual_seed(0)).to(value)
    value.add_(noise * (value.float().std(correction=0).to(value) + 0.1))


def _encoded(module: DomainModule, cells: object) -> Tensor:
    with torch.no_grad():
        return module.encode(cells)


def saving_and_loading_gives_the_same_latents_and_fingerprint(subject: DomainSubject) -> None:
    """`save_domain` and `load_domain` bring back the same module."""
    if not subject.assets_return():
        raise NotJudged("its files do not come back, which another check is for")
    subject.need_steady()
    subject.refilled()
    module = subject.module()
    fingerprint = module.fingerprint()
    wanted = subject.latents(module, subject.cells())
    with tempfile.TemporaryDirectory() as folder, subject.registered():
        save_domain(subject.module(), Path(folder) / "domain")
        loaded = load_domain(Path(folder) / "domain")
        loaded_fingerprint = loaded.fingerprint()
    found = subject.latents(loaded, subject.cells())
    difference = apart(wanted, found)
    if difference:
        raise CheckFailed(
            f"The latents of the loaded module are {difference}.",
            "the same latents.",
            "return every setting from config(), register learnt tensors as parameters or buffers, "
            "and keep the rest as files (save_assets).",
        )
    if _told_apart_soundly(module) and loaded_fingerprint != fingerprint:
        raise CheckFailed(
            "The loaded module has another fingerprint.",
            "the same, or stored latents are never found again.",
            "see that config(), weights and files come back with the same bits.",
        )


def _told_apart_soundly(module: DomainModule) -> bool:
    return module.fingerprint() == copy.deepcopy(module).fingerprint()


def files_written_are_read_back_the_same(subject: DomainSubject) -> None:
    """What `load_assets` read is written again as it was."""
    if not isinstance(subject.original, HasAssets):
        raise NotJudged("it has no files beside its weights")
    again = subject.refilled()
    assert isinstance(again, HasAssets)
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        subject.original.save_assets(Path(first))
        if not any(Path(first).rglob("*")):
            raise NotJudged("it writes no files")
        again.load_assets(Path(first))
        again.save_assets(Path(second))
        if digest_files(Path(first)) != digest_files(Path(second)):
            raise CheckFailed(
                "The files of a module that read its files are others.",
                "the same names and contents.",
                "let load_assets() read everything that save_assets() writes, and write in a fixed "
                "order, without paths or times.",
            )
    subject.latents(freeze(again), subject.cells())


def a_complete_config_stays_as_it_is(subject: DomainSubject) -> None:
    """`complete_config` changes nothing in a config that `config()` returned."""
    if not isinstance(subject.original, CompletesConfig):
        raise NotJudged("it completes no config")
    config = subject.config()
    found = type(subject.original).complete_config(copy.deepcopy(config), subject.cells())
    if json.loads(json.dumps(found)) != config:
        raise CheckFailed(
            f"complete_config() made {found} of the complete {config}.",
            "the config as it was: a run that goes on completes it again.",
            "fill in only what is missing.",
        )


def the_plugin_module_is_light(subject: DomainSubject) -> None:
    """Importing the module that registers the kind imports neither torch nor the kind."""
    check_light(subject.plugin, "domain", type(subject.original))


SAVING: tuple[Check, ...] = (
    config_is_json_able,
    from_config_builds_the_same_module,
    building_it_twice_from_one_seed_gives_the_same_weights,
    the_fingerprint_is_the_same_for_the_same_module,
    the_fingerprint_follows_the_weights,
    saving_and_loading_gives_the_same_latents_and_fingerprint,
    files_written_are_read_back_the_same,
    a_complete_config_stays_as_it_is,
    the_plugin_module_is_light,
)
