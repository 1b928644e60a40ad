"""Does language help a few-shot learner? A method, its controls, and a rule for saying so.

Prototypical networks on frozen latents whose batch norms are modulated by a network that has
learned language (Armengol-Estapé et al. 2024, arXiv 2405.18751). The paper found that the gain does
not carry over from one benchmark to the next, and that more computation and parameters explain it
where it is seen; so the controls are as much a part of this as the method.
"""

from __future__ import annotations

from globalworkspace_probes.few_shot.auxiliary import FrozenAuxiliary as FrozenAuxiliary
from globalworkspace_probes.few_shot.episodes import ClassSplit as ClassSplit
from globalworkspace_probes.few_shot.generators import with_signal as with_signal
from globalworkspace_probes.few_shot.generators import without_signal as without_signal
from globalworkspace_probes.few_shot.harness import FewShotResult as FewShotResult
from globalworkspace_probes.few_shot.harness import few_shot as few_shot
from globalworkspace_probes.few_shot.settings import FewShotSettings as FewShotSettings

__all__ = [
    "ClassSplit",
    "FewShotResult",
    "FewShotSettings",
    "FrozenAuxiliary",
    "few_shot",
    "with_signal",
    "without_signal",
]
