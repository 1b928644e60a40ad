"""What can be learnt from frozen states, and whether it holds in another domain.

A small network learns a task on the states of one domain; if the workspace joins the domains, it
does the task on those of any other, which it has never seen.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalworkspace.data.table import Table
from globalworkspace.errors import DataError
from globalworkspace.randomness import derived_seed
from globalworkspace.workspace import GlobalWorkspace


class Head(nn.Module):
    """A network with one hidden layer that was trained on a task; see `learn`."""

    def __init__(self, in_dim: int, out_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(in_dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, out_dim)
        )
        self.classifies = False
        self.mean: Tensor
        self.scale: Tensor
        self.label_mean: Tensor
        self.label_scale: Tensor
        for name, size in (("", in_dim), ("label_", out_dim)):
            self.register_buffer(f"{name}mean", torch.zeros(size))
            self.register_buffer(f"{name}scale", torch.ones(size))

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, D) -> (N, classes) logits or (N, K) standardised values."""
        told: Tensor = self.layers((inputs - self.mean) / self.scale)
        return told

    @torch.no_grad()
    def score(self, inputs: Tensor, labels: Tensor) -> float:
        """The accuracy, or the mean R² of the columns, on (N, D) and its labels."""
        told = self(inputs)
        if self.classifies:
            return float((told.argmax(dim=1) == labels).double().mean())
        told = told * self.label_scale + self.label_mean
        error = (told - labels).double().square().mean(dim=0)
        return float((1 - error / labels.double().var(dim=0, correction=0)).mean())


def learn(
    inputs: Tensor,
    labels: Tensor,
    *,
    hidden_dim: int = 64,
    steps: int = 2000,
    batch_size: int = 512,
    learning_rate: float = 3e-3,
    weight_decay: float = 1e-4,
    seed: int = 0,
) -> Head:
    """Train a small network on frozen inputs.

    Args:
        inputs: (N, D).
        labels: (N,) int64 classes, or (N, K) float values.
        hidden_dim: Of its one hidden layer.
        steps: Of AdamW, the learning rate falling to 0 as a half cosine.
        batch_size: Rows a step.
        learning_rate: The first.
        weight_decay: AdamW's.
        seed: Of first weights and batches.

    Raises:
        DataError: If inputs and labels do not correspond.

    Example:
        >>> x = torch.linspace(-1, 1, 400)[:, None]
        >>> learn(x, (x[:, 0] > 0).long(), steps=100).score(x, (x[:, 0] > 0).long()) > 0.95
        True
    """
    if len(inputs) != len(labels) or not len(inputs):
        raise DataError(f"{len(inputs)} inputs and {len(labels)} labels do not correspond.")
    classifies = not labels.is_floating_point()
    if not classifies and labels.ndim == 1:
        raise DataError("Labels that are values have the shape (N, K); add a last dimension.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "head"))
        outputs = int(labels.max()) + 1 if classifies else labels.shape[1]
        head = Head(inputs.shape[1], outputs, hidden_dim).to(inputs.device)
    head.classifies = classifies
    head.mean, head.scale = inputs.mean(dim=0), inputs.std(dim=0).clamp(min=1e-6)
    targets = labels
    if not classifies:
        head.label_mean, head.label_scale = labels.mean(dim=0), labels.std(dim=0).clamp(min=1e-6)
        targets = (labels - head.label_mean) / head.label_scale
    optimizer = torch.optim.AdamW(head.parameters(), lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    chance = torch.Generator().manual_seed(derived_seed(seed, "head batches"))
    for _ in range(steps):
        rows = torch.randint(len(inputs), (batch_size,), generator=chance).to(inputs.device)
        told = head(inputs[rows])
        loss = (
            F.cross_entropy(told, targets[rows]) if classifies else F.mse_loss(told, targets[rows])
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return head.requires_grad_(False)


def states(workspace: GlobalWorkspace, table: Table) -> dict[str, Tensor]:
    """Domain -> states (N, W) of each row from that domain alone.

    Args:
        workspace: In eval mode.
        table: Latents; every row has every domain.
    """
    rows = torch.arange(len(table))
    return {
        name: workspace.encode({name: table[name].take(rows)}, latents=True).code for name in table
    }


def transfer(
    workspace: GlobalWorkspace,
    training: Table,
    labels: Tensor,
    test: Table,
    test_labels: Tensor,
    *,
    learnt_on: str,
    steps: int = 2000,
    seed: int = 0,
) -> Mapping[str, float]:
    """How well a task learnt on the states of one domain is done on those of each.

    Args:
        workspace: In eval mode.
        training: Latents; every row has every domain.
        labels: (N,) int64 classes or (N, K) float values of the training rows.
        test: Latents of other rows.
        test_labels: Theirs.
        learnt_on: The domain.
        steps: See `learn`.
        seed: See `learn`.

    Returns:
        Domain -> accuracy or mean R² on the test rows.
    """
    head = learn(states(workspace, training)[learnt_on], labels, steps=steps, seed=seed)
    return {name: head.score(held, test_labels) for name, held in states(workspace, test).items()}
