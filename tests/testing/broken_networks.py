"""Networks that each break one promise; the table names the check made for it."""

import time

import numpy
import torch
from torch import nn

from globalworkspace.networks import Dropout


class Layers(nn.Module):
    """Two layers, as they should be."""

    def __init__(self, width, out, hidden_dim, dropout):
        super().__init__()
        self.first, self.second = nn.Linear(width, hidden_dim), nn.Linear(hidden_dim, out)
        self.drop = Dropout(dropout)

    def forward(self, values):
        return self.second(self.drop(self.first(values).tanh()))


class Sound:
    """Networks of two such layers."""

    layers = Layers

    @classmethod
    def encoder(cls, spec, dim, *, hidden_dim=16, num_layers=2, dropout=0.0, linear_path=False):
        return cls.layers(spec.dim, dim, hidden_dim, dropout)

    @classmethod
    def decoder(cls, spec, dim, *, hidden_dim=16, num_layers=2, dropout=0.0, linear_path=False):
        return cls.layers(dim, spec.dim, hidden_dim, dropout)


class HasNoDecoder(Sound):
    decoder = None


class EncodesByAFunction(Sound):
    @classmethod
    def encoder(cls, spec, dim, **sizes):
        return super().encoder(spec, dim, **sizes).forward


class KnowsNoLinearPath(Sound):
    @classmethod
    def decoder(cls, spec, dim, *, hidden_dim=16, num_layers=2, dropout=0.0):
        return super().decoder(spec, dim, hidden_dim=hidden_dim, dropout=dropout)


class TakesTwoLayersOnly(Sound):
    @classmethod
    def encoder(cls, spec, dim, *, num_layers=2, **sizes):
        (first, second) = range(num_layers)
        return super().encoder(spec, dim, **sizes)


class EncodesToOneColumnMore(Sound):
    @classmethod
    def encoder(cls, spec, dim, **sizes):
        return super().encoder(spec, dim + 1, **sizes)


class EncodesRoundly(Sound):
    @classmethod
    def encoder(cls, spec, dim, **sizes):
        return nn.Sequential(super().encoder(spec, dim, **sizes), _Rounded())


class _Rounded(nn.Module):
    def forward(self, values):
        return values.float()


class DecodesTwice(Sound):
    """A mean and a variance are for codes."""

    @classmethod
    def decoder(cls, spec, dim, *, hidden_dim=16, dropout=0.0, **sizes):
        return cls.layers(dim, 2 * spec.dim, hidden_dim, dropout)


class SqueezesABatchOfOne(Sound):
    class layers(Layers):
        def forward(self, values):
            return super().forward(values).squeeze(0)


class TakesLogarithms(Sound):
    class layers(Layers):
        def forward(self, values):
            return super().forward(values) + 0 * (values - values).sum(dim=1, keepdim=True).log()


class ChokesOnPredictions(Sound):
    """Divides by 0 where no class is certain."""

    @classmethod
    def encoder(cls, spec, dim, **sizes):
        return nn.Sequential(_Certain(spec), super().encoder(spec, dim, **sizes))


class _Certain(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.columns = spec.slices()["class"]

    def forward(self, values):
        certain = (values[:, self.columns] == 1).sum(dim=1, keepdim=True)
        return values / certain


class CentresTheBatch(Sound):
    class layers(Layers):
        def forward(self, values):
            outputs = super().forward(values)
            return outputs - outputs.mean(dim=0) / 2


class DropsOutInEvalMode(Sound):
    class layers(Layers):
        def forward(self, values):
            with torch.random.fork_rng(devices=[]):
                kept = torch.rand(values.shape).to(values)
            return super().forward(values * kept)


class CoolsDown(Sound):
    class layers(Layers):
        heat = 1.0

        def forward(self, values):
            self.heat /= 2
            return self.heat * super().forward(values)


class ShiftsTheGlobalGenerator(Sound):
    class layers(Layers):
        def forward(self, values):
            numpy.random.rand()
            return super().forward(values)


class ClearsWhatItIsGiven(Sound):
    class layers(Layers):
        def forward(self, values):
            outputs = super().forward(values.clone())
            values.zero_()
            return outputs


class DropsOutByItself(Sound):
    class layers(Layers):
        def __init__(self, width, out, hidden_dim, dropout):
            super().__init__(width, out, hidden_dim, dropout)
            self.drop = nn.Dropout(dropout)


class NormalisesTheBatchInTraining(Sound):
    class layers(Layers):
        def forward(self, values):
            outputs = super().forward(values)
            return outputs - outputs.mean(dim=0) / 2 if self.training else outputs


class KeepsGradientsBack(Sound):
    class layers(Layers):
        def forward(self, values):
            return super().forward(values.detach())


class HasAnIdleParameter(Sound):
    class layers(Layers):
        def __init__(self, *sizes):
            super().__init__(*sizes)
            self.idle = nn.Parameter(torch.zeros(3))


class WeighsTheClock(Sound):
    class layers(Layers):
        def __init__(self, *sizes):
            super().__init__(*sizes)
            nn.init.constant_(self.second.bias, time.perf_counter() % 1)


class KeepsAWeightToItself(Sound):
    class layers(Layers):
        def __init__(self, *sizes):
            super().__init__(*sizes)
            self.own = float(torch.rand(()))

        def forward(self, values):
            return self.own * super().forward(values)


class ForgetsTheDevice(Sound):
    class layers(Layers):
        def forward(self, values):
            return super().forward(values) + torch.ones(self.second.out_features)


class ForgetsTheDeviceInTraining(Sound):
    class layers(Layers):
        def forward(self, values):
            outputs = super().forward(values)
            return outputs * torch.ones(outputs.shape[1]) if self.training else outputs


BROKEN_NETWORKS = {
    HasNoDecoder: "it_makes_an_encoder_and_a_decoder",
    EncodesByAFunction: "it_makes_an_encoder_and_a_decoder",
    KnowsNoLinearPath: "it_takes_the_sizes_that_a_workspace_gives",
    TakesTwoLayersOnly: "it_takes_the_sizes_that_a_workspace_gives",
    EncodesToOneColumnMore: "its_encoder_gives_codes_of_the_size_of_the_workspace",
    EncodesRoundly: "its_encoder_gives_codes_of_the_size_of_the_workspace",
    DecodesTwice: "its_decoder_gives_raw_predictions_of_the_latent",
    SqueezesABatchOfOne: "one_row_or_none_is_enough",
    TakesLogarithms: "its_outputs_are_finite",
    ChokesOnPredictions: "its_outputs_are_finite",
    CentresTheBatch: "each_row_depends_on_itself_alone",
    DropsOutInEvalMode: "its_outputs_are_the_same_every_time",
    CoolsDown: "its_outputs_are_the_same_every_time",
    ShiftsTheGlobalGenerator: "it_leaves_the_global_generators_alone",
    ClearsWhatItIsGiven: "it_leaves_the_rows_as_they_were",
    DropsOutByItself: "sharing_the_rows_among_processes_changes_nothing",
    NormalisesTheBatchInTraining: "sharing_the_rows_among_processes_changes_nothing",
    KeepsGradientsBack: "gradients_reach_the_rows",
    HasAnIdleParameter: "its_parameters_learn",
    WeighsTheClock: "building_it_twice_from_one_seed_gives_the_same_weights",
    KeepsAWeightToItself: "its_state_dict_holds_all_that_it_learns",
    ForgetsTheDevice: "its_networks_follow_the_rows_to_another_device",
    ForgetsTheDeviceInTraining: "its_networks_follow_the_rows_to_another_device",
}
