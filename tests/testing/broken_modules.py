"""A sound domain module with every capability, and modules that each break one promise of it.

`BROKEN` names the check that each one is made for: that one must fail, and no other.
"""

import json

import torch
from torch import nn
from torch.nn import functional as F

from globalworkspace import DomainModule, LatentSpec, Part, Rendering
from globalworkspace.latents import pack_sequence, unpack_sequence

LABELS = ("circle", "square", "star")


class Sound(DomainModule):
    """Cells `{"numbers": 3 floats, "label": a word, "hour": 0..12, "steps": 1 or 2 floats}`.

    Numbers go through a learnt map, the label's words are kept as a file.
    """

    latent = LatentSpec(
        (
            Part(name="numbers", size=3),
            Part(name="label", size=3, kind="categorical"),
            Part(name="hour", size=1, kind="circular"),
            Part(name="steps", size=1, kind="sequence", length=2),
        )
    )

    def __init__(self, gain=1.0, labels=("?", "??", "???")):
        super().__init__()
        self.gain, self.labels = gain, list(labels)
        self.inside, self.outside = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        with torch.no_grad():
            self.outside.weight.copy_(torch.linalg.inv(self.inside.weight))

    def encode(self, raw):
        return torch.cat([self.numbers(raw), self.label(raw), self.hour(raw), self.steps(raw)], 1)

    def table(self, raw):
        values = torch.tensor([cell["numbers"] for cell in raw], dtype=torch.float32)
        return values.reshape(-1, 3).to(self.inside.weight)

    def numbers(self, raw):
        return self.gain * self.inside(self.table(raw))

    def label(self, raw):
        found = torch.tensor([self.labels.index(cell["label"]) for cell in raw], dtype=torch.int64)
        return F.one_hot(found, 3).to(self.inside.weight)

    def hour(self, raw):
        angle = torch.tensor([cell["hour"] for cell in raw]).to(self.inside.weight) * torch.pi / 6
        return torch.stack([angle.cos(), angle.sin()], dim=1)

    def steps(self, raw):
        rows = [[*cell["steps"], 0.0][:2] for cell in raw]
        there = [[True, len(cell["steps"]) > 1] for cell in raw]
        values = torch.tensor(rows).reshape(-1, 2, 1)
        mask = torch.tensor(there, dtype=torch.bool).reshape(-1, 2)
        return pack_sequence(values, mask).to(self.inside.weight)

    def decode(self, latents):
        pieces = self.latent.split(latents)
        numbers = self.outside(pieces["numbers"] / self.gain).tolist()
        labels = pieces["label"].argmax(dim=1).tolist()
        hours = torch.atan2(pieces["hour"][:, 1], pieces["hour"][:, 0]) * 6 / torch.pi % 12
        values, mask = unpack_sequence(pieces["steps"], 1)
        return [
            {
                "numbers": numbers[i],
                "label": self.labels[labels[i]],
                "hour": float(hours[i]),
                "steps": values[i, : 1 + int(mask[i, 1] > 0.5), 0].tolist(),
            }
            for i in range(len(latents))
        ]

    def prepare(self, raw, *, progress=False):
        return {"numbers": self.table(raw).cpu()}

    def unimodal_loss(self, raw, progress, generator):
        values = raw["numbers"].to(self.inside.weight)
        noise = torch.randn(values.shape, generator=generator).to(values)
        again = self.outside(self.inside(values) + 0.01 * progress * noise)
        return {"squares": (again - values).square().sum(dim=1)}

    def render(self, raw):
        texts = [json.dumps(cell) for cell in raw]
        return [Rendering(media_type="text/plain", data=t.encode(), alt=t) for t in texts]

    def save_assets(self, folder):
        (folder / "labels.json").write_text(json.dumps(self.labels))

    def load_assets(self, folder):
        self.labels = json.loads((folder / "labels.json").read_text())

    def config(self):
        return {"gain": self.gain}

    @classmethod
    def complete_config(cls, config, cells):
        return {"gain": 1.0, **config}


def make(cls=Sound):
    """One with labels that only its files hold."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return cls(gain=0.5, labels=LABELS)


def cells():
    return [
        {"numbers": [0.5, -1.0, 2.0], "label": "star", "hour": 1.0, "steps": [0.3]},
        {"numbers": [1.5, 0.0, -2.0], "label": "circle", "hour": 5.5, "steps": [1.0, 2.0]},
        {"numbers": [-0.5, 3.0, 0.0], "label": "square", "hour": 9.0, "steps": [-1.0, 0.5]},
    ]


# ---- encode


class NoSpec(Sound):
    latent = 11


class OneColumnShort(Sound):
    def encode(self, raw):
        return super().encode(raw)[:, :-1]


class OneRowForAll(Sound):
    def encode(self, raw):
        return super().encode(raw)[:1]


class WholeNumbers(Sound):
    def encode(self, raw):
        return super().encode(raw).long()


class NotANumber(Sound):
    def numbers(self, raw):
        return super().numbers(raw) / (self.table(raw) != 0)


class NeedsACell(Sound):
    def encode(self, raw):
        return torch.stack([super(NeedsACell, self).encode([cell])[0] for cell in raw])


class SqueezesABatchOfOne(Sound):
    def encode(self, raw):
        return super().encode(raw).squeeze()


class CentresTheBatch(Sound):
    def numbers(self, raw):
        values = super().numbers(raw)
        return values - values.mean(dim=0)


class LeavesSortedRows(Sound):
    def encode(self, raw):
        return super().encode(sorted(raw, key=lambda cell: cell["hour"]))


class DropsOutInEvalMode(Sound):
    def __init__(self, **options):
        super().__init__(**options)
        self.chance = torch.Generator().manual_seed(0)

    def numbers(self, raw):
        values = super().numbers(raw)
        kept = torch.rand(values.shape, generator=self.chance).to(values) > 0.5
        return values * kept


class RemembersTheFirstBatch(Sound):
    first = None

    def numbers(self, raw):
        values = super().numbers(raw)
        if self.first is None and len(values):
            self.first = values[:1].detach().sum()
        return values + self.first if len(values) else values


class ShufflesByTheGlobalGenerator(Sound):
    def encode(self, raw):
        order = torch.randperm(len(raw))
        latents = super().encode([raw[i] for i in order.tolist()])
        return latents[order.argsort()]


class CountsInABuffer(Sound):
    def __init__(self, **options):
        super().__init__(**options)
        self.register_buffer("seen", torch.zeros(()))

    def encode(self, raw):
        self.seen += len(raw)
        return super().encode(raw)


class SwitchesToTraining(Sound):
    def encode(self, raw):
        self.train()
        return super().encode(raw)


class ScribblesOnItsCells(Sound):
    def numbers(self, raw):
        for cell in raw:
            cell["numbers"] = [float(f"{x:.8f}") + 1e-9 for x in cell["numbers"]]
        return super().numbers(raw)


class SaysTheSameOfAll(Sound):
    def encode(self, raw):
        return super().encode([cells()[0] for _ in raw])


class LeavesWordsInThePadding(Sound):
    def steps(self, raw):
        packed = super().steps(raw)
        padding = packed[:, 3:] == 0
        return torch.cat([packed[:, :2], packed[:, 2:3] + 0.7 * padding, packed[:, 3:]], dim=1)


# ---- freezing, moving, comparing


class StaysInTraining(Sound):
    def train(self, mode=True):
        return super().train(True)


class HidesAParameter(Sound):
    def __init__(self, **options):
        super().__init__(**options)
        self.hidden = [torch.ones(3, requires_grad=True)]

    def numbers(self, raw):
        values = super().numbers(raw)
        return values * self.hidden[0].to(values)


class LearnsWhileItEncodes(Sound):
    def encode(self, raw):
        weight = self.inside.weight
        with torch.enable_grad():
            weight.requires_grad_(True)
            super().encode(raw).sum().backward()
            weight.requires_grad_(False)
        return super().encode(raw).detach()


class ForgetsTheDevice(Sound):
    def numbers(self, raw):
        return super().numbers(raw) + torch.zeros(3)


class DrawsOnTheDevice(Sound):
    def unimodal_loss(self, raw, progress, generator):
        values = raw["numbers"].to(self.inside.weight)
        noise = torch.randn(values.shape, generator=generator, device=values.device)
        again = self.outside(self.inside(values) + 0.01 * progress * noise)
        return {"squares": (again - values).square().sum(dim=1)}


class HedgesItsCategories(Sound):
    def label(self, raw):
        return 0.9 * super().label(raw) + 0.05 * (1 - super().label(raw))


class SwellsTheCircle(Sound):
    def hour(self, raw):
        return 2 * super().hour(raw)


class Indifferent(LatentSpec):
    """Compares nothing."""

    def loss(self, predictions, targets, part_weights=None):
        return 0 * predictions.sum(dim=1)


class ComparesNothing(Sound):
    latent = Indifferent(Sound.latent.parts)


# ---- saving


class PutsATensorInItsConfig(Sound):
    def config(self):
        return {"gain": torch.tensor(self.gain)}


class RefusesItsConfig(Sound):
    def config(self):
        return {"gain": self.gain, "colour": "red"}


class ForgetsASetting(Sound):
    """Built again, it scales otherwise."""

    def config(self):
        return {}

    @classmethod
    def complete_config(cls, config, cells):
        return dict(config)


class WeighsTheClock(Sound):
    def __init__(self, **options):
        super().__init__(**options)
        chance = torch.Generator()
        chance.seed()
        with torch.no_grad():
            self.inside.weight.copy_(torch.randn(3, 3, generator=chance))
            self.outside.weight.copy_(torch.linalg.inv(self.inside.weight))


class SignsWithItsAddress(Sound):
    def fingerprint(self):
        return f"{id(self)}"


class SignsItsConfigOnly(Sound):
    def fingerprint(self):
        return json.dumps(self.config())


class KeepsAWeightToItself(Sound):
    """A learnt value that no state dict holds."""

    def __init__(self, **options):
        super().__init__(**options)
        self.offset = options["labels"][0] == "circle" if "labels" in options else False

    def numbers(self, raw):
        return super().numbers(raw) + float(self.offset)

    def decode(self, latents):
        return super().decode(latents - F.pad(torch.ones(3), (0, 9)).to(latents) * self.offset)


class DoesNotReadItsFiles(Sound):
    def load_assets(self, folder):
        pass


class CompletesTooMuch(Sound):
    @classmethod
    def complete_config(cls, config, cells):
        return {"gain": float(len(cells))}


# ---- capabilities


class DecodesOneTooFew(Sound):
    def decode(self, latents):
        return super().decode(latents)[:-1]


class DecodesToText(Sound):
    def decode(self, latents):
        return [json.dumps(cell) for cell in super().decode(latents)]


class DecodesByChance(Sound):
    def decode(self, latents):
        return super().decode(latents + 0.1 * torch.randn(1).to(latents))


class DecodesInAnotherOrder(Sound):
    def decode(self, latents):
        return super().decode(latents)[::-1]


class DecodesTwiceTooMuch(Sound):
    def decode(self, latents):
        pieces = super().decode(latents)
        return [cell | {"numbers": [3 * x for x in cell["numbers"]]} for cell in pieces]


class AveragesItsLoss(Sound):
    def unimodal_loss(self, raw, progress, generator):
        terms = super().unimodal_loss(raw, progress, generator)
        return {name: values.mean() for name, values in terms.items()}


class LosesFinitely(Sound):
    """Not at the beginning of an annealing."""

    def unimodal_loss(self, raw, progress, generator):
        terms = super().unimodal_loss(raw, progress, generator)
        weight = torch.tensor(float(progress)).log() if progress < 0.5 else torch.tensor(1.0)
        return {name: values * weight.to(values) for name, values in terms.items()}


class DrawsForItsLoss(Sound):
    def unimodal_loss(self, raw, progress, generator):
        terms = super().unimodal_loss(raw, progress, generator)
        return {n: v + 1e-2 * torch.randn(len(v)).to(v) for n, v in terms.items()}


class LearnsNothing(Sound):
    def unimodal_loss(self, raw, progress, generator):
        terms = super().unimodal_loss(raw, progress, generator)
        return {name: values.detach() for name, values in terms.items()}


class TrainsHalfOfItself(Sound):
    """One of the parameters that it calls trainable takes no part in the loss."""

    def __init__(self, **options):
        super().__init__(**options)
        self.unused = nn.Parameter(torch.zeros(2))


class PreparesOnlyTheFirst(Sound):
    def prepare(self, raw, *, progress=False):
        return {"numbers": self.table(raw[:1]).cpu().expand(len(raw) + 1, 3)}

    def unimodal_loss(self, raw, progress, generator):
        return super().unimodal_loss({"numbers": raw["numbers"][:-1]}, progress, generator)


class HasNoWordsForIt(Sound):
    def render(self, raw):
        return [Rendering(media_type="text/plain", data=b"x", alt="") for _ in raw]


class RendersASheet(Sound):
    def render(self, raw):
        return super().render(raw)[:1]


BROKEN = {
    NoSpec: "the_latent_is_a_spec",
    OneColumnShort: "encode_returns_one_row_per_cell",
    OneRowForAll: "encode_returns_one_row_per_cell",
    WholeNumbers: "encode_returns_floating_point_numbers",
    NotANumber: "encode_returns_finite_numbers",
    NeedsACell: "encode_of_no_cells_returns_no_rows",
    SqueezesABatchOfOne: "encode_of_one_cell_returns_one_row",
    CentresTheBatch: "each_row_depends_on_its_own_cell_only",
    LeavesSortedRows: "each_row_depends_on_its_own_cell_only",
    DropsOutInEvalMode: "encoding_twice_gives_the_same",
    RemembersTheFirstBatch: "what_was_encoded_before_does_not_matter",
    ShufflesByTheGlobalGenerator: "encode_leaves_the_global_generators_alone",
    CountsInABuffer: "encode_leaves_the_module_as_it_was",
    SwitchesToTraining: "encode_leaves_the_module_as_it_was",
    ScribblesOnItsCells: "encode_leaves_the_batch_as_it_was",
    SaysTheSameOfAll: "different_cells_get_different_latents",
    LeavesWordsInThePadding: "padding_of_a_sequence_is_zero",
    StaysInTraining: "freezing_reaches_every_part",
    HidesAParameter: "a_frozen_module_encodes_without_gradient",
    LearnsWhileItEncodes: "training_a_workspace_over_it_leaves_it_as_it_was",
    ForgetsTheDevice: "everything_follows_the_module_to_another_device",
    DrawsOnTheDevice: "everything_follows_the_module_to_another_device",
    HedgesItsCategories: "an_exact_prediction_has_the_least_loss",
    SwellsTheCircle: "an_exact_prediction_has_the_least_loss",
    ComparesNothing: "an_exact_prediction_has_the_least_loss",
    PutsATensorInItsConfig: "config_is_json_able",
    RefusesItsConfig: "from_config_builds_the_same_module",
    WeighsTheClock: "building_it_twice_from_one_seed_gives_the_same_weights",
    SignsWithItsAddress: "the_fingerprint_is_the_same_for_the_same_module",
    SignsItsConfigOnly: "the_fingerprint_follows_the_weights",
    ForgetsASetting: "saving_and_loading_gives_the_same_latents_and_fingerprint",
    KeepsAWeightToItself: "saving_and_loading_gives_the_same_latents_and_fingerprint",
    DoesNotReadItsFiles: "files_written_are_read_back_the_same",
    CompletesTooMuch: "a_complete_config_stays_as_it_is",
    DecodesOneTooFew: "decode_returns_one_item_per_row",
    DecodesToText: "what_decode_returns_can_be_encoded",
    DecodesByChance: "decoding_twice_gives_the_same",
    DecodesInAnotherOrder: "each_item_is_decoded_from_its_own_row",
    DecodesTwiceTooMuch: "decoding_and_encoding_again_leads_nowhere_else",
    AveragesItsLoss: "the_loss_is_one_finite_value_per_cell",
    LosesFinitely: "the_loss_is_one_finite_value_per_cell",
    DrawsForItsLoss: "the_loss_draws_from_its_generator_only",
    LearnsNothing: "the_loss_teaches_every_trainable_parameter",
    TrainsHalfOfItself: "the_loss_teaches_every_trainable_parameter",
    PreparesOnlyTheFirst: "prepare_returns_as_many_cells",
    HasNoWordsForIt: "renderings_show_every_item",
    RendersASheet: "renderings_show_every_item",
}
