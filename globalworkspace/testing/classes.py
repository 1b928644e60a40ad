"""The checks as pytest classes: one test method per check, made from the same lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytest

from globalworkspace.augmentation import Augmentation
from globalworkspace.domain import DomainModule
from globalworkspace.evaluation.base import Evaluation, HeldOut
from globalworkspace.fusion import Fusion
from globalworkspace.latents import LatentSpec
from globalworkspace.objectives.base import Objective
from globalworkspace.testing.augmentation import (
    AUGMENTATION_CHECKS,
    TOY_SPECS,
    AugmentationSubject,
)
from globalworkspace.testing.checks import Check, NotJudged, run_check
from globalworkspace.testing.domain import DOMAIN_CHECKS
from globalworkspace.testing.evaluation import EVALUATION_CHECKS, EvaluationSubject, given
from globalworkspace.testing.fusion import FUSION_CHECKS
from globalworkspace.testing.fusion_subject import FusionSubject
from globalworkspace.testing.network import NETWORK_CHECKS
from globalworkspace.testing.network_subject import TOY_DIM, TOY_SPEC, NetworkSubject
from globalworkspace.testing.objective import OBJECTIVE_CHECKS
from globalworkspace.testing.objective_subject import ObjectiveSubject
from globalworkspace.testing.subject import DomainSubject
from globalworkspace.testing.toys import TOY_DOMAINS
from globalworkspace.workspace import GlobalWorkspace


def _with_tests(checks: Sequence[Check]) -> Callable[[type], type]:
    def give(cls: type) -> type:
        for check in checks:
            setattr(cls, f"test_{check.__name__}", _test(check))
        return cls

    return give


def _test(check: Check) -> Callable[[Any, Any], None]:
    def test(self: Any, subject: Any) -> None:
        try:
            run_check(check, subject)
        except NotJudged as reason:
            pytest.skip(str(reason))

    test.__name__, test.__doc__ = f"test_{check.__name__}", check.__doc__
    return test


@_with_tests(DOMAIN_CHECKS)
class DomainConformance:
    """Subclass it as `TestSomething` with the fixtures `module` and `batch`.

    `module` is a domain module; each check works on a copy, so that it may be made once for all
    (`@pytest.fixture(scope="class")` over `@classmethod`). `batch` is a raw batch of two or more
    different cells; `other_batch` may hold some more. A test of a promise that the module does not
    make is skipped with the reason.
    """

    plugin: ClassVar[str | None] = None
    """Dotted name of the plugin module; found by itself where the plugin is installed."""

    @pytest.fixture
    def other_batch(self) -> Any:
        """Further cells; None: those of `batch` in reverse order."""
        return None

    @pytest.fixture
    def subject(self, module: DomainModule, batch: Any, other_batch: Any) -> DomainSubject:
        """What the checks get."""
        return DomainSubject(module, batch, other_batch, self.plugin)


@_with_tests(OBJECTIVE_CHECKS)
class ObjectiveConformance:
    """Subclass it as `TestSomething` with the fixture `objective`.

    The objective is tried in a small workspace of the kit's own whose domains are called as
    `domains` says, or in that of a fixture `workspace`.
    """

    domains: ClassVar[Sequence[str]] = TOY_DOMAINS
    plugin: ClassVar[str | None] = None
    """Dotted name of the plugin module; found by itself where the plugin is installed."""

    @pytest.fixture
    def workspace(self) -> GlobalWorkspace | None:
        """A workspace for an objective that knows its domains; None: the kit's own."""
        return None

    @pytest.fixture
    def subject(self, objective: Objective, workspace: GlobalWorkspace | None) -> ObjectiveSubject:
        """What the checks get."""
        names = tuple(self.domains if workspace is None else workspace.domains)
        return ObjectiveSubject(objective, names, self.plugin, workspace)


@_with_tests(EVALUATION_CHECKS)
class EvaluationConformance:
    """Subclass it as `TestSomething` with the fixture `evaluation`.

    That is a callable `(workspace, held_out) -> dict`; it is tried in a small untrained workspace
    of the kit's own whose domains are called as `domains` says, or with those of the fixtures
    `workspace` and `held_out`.
    """

    domains: ClassVar[Sequence[str]] = TOY_DOMAINS
    plugin: ClassVar[str | None] = None
    """Dotted name of the plugin module; found by itself where the plugin is installed."""

    @pytest.fixture
    def workspace(self) -> GlobalWorkspace | None:
        """A workspace for an evaluation that knows its domains; None: the kit's own."""
        return None

    @pytest.fixture
    def held_out(self) -> HeldOut | None:
        """With it: the rows to judge by."""
        return None

    @pytest.fixture
    def subject(
        self, evaluation: Evaluation, workspace: GlobalWorkspace | None, held_out: HeldOut | None
    ) -> EvaluationSubject:
        """What the checks get."""
        pair = given(workspace, held_out)
        return EvaluationSubject(evaluation, tuple(self.domains), self.plugin, pair)


@_with_tests(AUGMENTATION_CHECKS)
class AugmentationConformance:
    """Subclass it as `TestSomething` with the fixture `augmentation`.

    It is tried on rows of two continuous latents, or on those that a fixture `specs` describes.
    """

    plugin: ClassVar[str | None] = None
    """Dotted name of the plugin module; found by itself where the plugin is installed."""

    @pytest.fixture
    def specs(self) -> Mapping[str, LatentSpec]:
        """Domain -> what the latents are made of."""
        return TOY_SPECS

    @pytest.fixture
    def subject(
        self, augmentation: Augmentation, specs: Mapping[str, LatentSpec]
    ) -> AugmentationSubject:
        """What the checks get."""
        return AugmentationSubject(augmentation, specs, self.plugin)


@_with_tests(FUSION_CHECKS)
class FusionConformance:
    """Subclass it as `TestSomething` with the fixture `fusion`.

    It is tried on rows of three domains, whose codes have as many columns as the workspace, or as
    `code_dim` says.
    """

    code_dim: ClassVar[int | None] = None
    """Columns of a domain's code; None: those of the workspace."""
    plugin: ClassVar[str | None] = None
    """Dotted name of the plugin module; found by itself where the plugin is installed."""

    @pytest.fixture
    def subject(self, fusion: Fusion) -> FusionSubject:
        """What the checks get."""
        return FusionSubject(fusion, self.code_dim, self.plugin)


@_with_tests(NETWORK_CHECKS)
class NetworkConformance:
    """Subclass it as `TestSomething` with the fixture `network`.

    That is a class with `encoder` and `decoder`; they are made for a latent with a part of each
    kind, or for that of a fixture `spec`, with settings from a fixture `sizes`.
    """

    dim: ClassVar[int] = TOY_DIM
    """Size W of the workspace."""
    plugin: ClassVar[str | None] = None
    """Dotted name of the plugin module; found by itself where the plugin is installed."""

    @pytest.fixture
    def spec(self) -> LatentSpec:
        """What the latents are made of."""
        return TOY_SPEC

    @pytest.fixture
    def sizes(self) -> Mapping[str, Any]:
        """Further settings, or other sizes than the kit's."""
        return {}

    @pytest.fixture
    def subject(self, network: Any, spec: LatentSpec, sizes: Mapping[str, Any]) -> NetworkSubject:
        """What the checks get."""
        return NetworkSubject(network, spec, self.dim, self.plugin, sizes)
