"""Fusions that each break one promise; the table names the check made for it."""

import time

import numpy
import torch
from torch import nn

from globalworkspace.fusion import Fusion, State


class Sound(Fusion):
    """Learnt shares, moved by chance as they should be."""

    def __init__(self, dim, activation="tanh", sharpness=1.0):
        super().__init__(dim, activation)
        self.sharpness = sharpness
        self.score = nn.Linear(dim, 1, bias=False)

    def config(self):
        return {"sharpness": self.sharpness}

    def chance(self, scores, generator):
        if generator is None:
            return torch.zeros_like(scores)
        return torch.rand(scores.shape, generator=generator).to(scores)

    def scores(self, codes):
        return self.sharpness * self.score(codes)[:, :, 0]

    def select(self, codes, present, generator):
        scores = self.scores(codes)
        scores = scores + self.chance(scores, generator)
        return scores.masked_fill(~present, float("-inf")).softmax(dim=0)


def make(cls=Sound):
    """One whose setting is not the default."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return cls(4, sharpness=3.0)


def unseeded(shape):
    """Chance that no global generator shows."""
    with torch.random.fork_rng(devices=[]):
        return torch.rand(shape)


class BendsAsItLikes(Sound):
    def __init__(self, dim, activation="relu", sharpness=1.0):
        super().__init__(dim, "none", sharpness)
        self.activation = activation


class DropsARow(Sound):
    def finish(self, before):
        state = super().finish(before)
        return State(state.code[1:], state.before)


class RoundsToFloat32(Sound):
    def finish(self, before):
        return super().finish(before.float())


class HasOneVariancePerRow(Sound):
    def finish(self, before):
        return State(before.tanh(), before, before.square().mean(dim=1))


class SqueezesABatchOfOne(Sound):
    def finish(self, before):
        return super().finish(before.squeeze(0))


class TakesLogarithms(Sound):
    def finish(self, before):
        return super().finish(before + 0 * (before - before).log())


class SumsInsteadOfSharing(Sound):
    def select(self, codes, present, generator):
        return len(present) * super().select(codes, present, generator)


class SharesWithTheMissing(Sound):
    def select(self, codes, present, generator):
        return (self.scores(codes) + self.chance(codes[:, :, 0], generator)).softmax(dim=0)


class MultipliesWhatIsMissing(Sound):
    def fuse(self, codes, present=None, generator=None):
        stacked = torch.stack(list(codes.values()))
        whole = torch.ones(stacked.shape[1], dtype=torch.bool, device=stacked.device)
        here = torch.stack([(present or {}).get(name, whole) for name in codes])
        weights = self.select(stacked, here, generator)
        return self.finish((weights[:, :, None] * stacked).sum(dim=0))


class ComparesRows(Sound):
    def scores(self, codes):
        scores = super().scores(codes)
        return scores * scores.square().mean(dim=1, keepdim=True)


class DrawsForRowsThatHoldSomething(Sound):
    def chance(self, scores, generator):
        rows = scores.any(dim=0)
        held = super().chance(scores[:, rows], generator)
        return torch.zeros_like(scores).index_copy(1, rows.nonzero().flatten(), held)


class PrefersTheFirst(Sound):
    def scores(self, codes):
        place = torch.arange(len(codes), device=codes.device, dtype=codes.dtype)
        return super().scores(codes) - place[:, None]


class HalvesOneAlone(Sound):
    def fuse(self, codes, present=None, generator=None):
        if len(codes) == 1:
            codes = {name: code / 2 for name, code in codes.items()}
        return super().fuse(codes, present, generator)


class TrustsFewDomainsLess(Sound):
    def fuse(self, codes, present=None, generator=None):
        state = super().fuse(codes, present, generator)
        if not present:
            return state
        share = torch.stack(list(present.values())).to(state.before.dtype).mean(dim=0)
        return self.finish(share[:, None] * state.before)


class KeepsTheStateAlone(Sound):
    def finish(self, before):
        code = super().finish(before).code
        return State(code, code)


class DrawsWithoutAGenerator(Sound):
    def chance(self, scores, generator):
        if generator is None:
            return unseeded(scores.shape).to(scores)
        return super().chance(scores, generator)


class CoolsDown(Sound):
    """Without a generator, so that it shows there alone."""

    def chance(self, scores, generator):
        if generator is None:
            self.sharpness *= 2
        return super().chance(scores, generator)


class ReseedsItself(Sound):
    def chance(self, scores, generator):
        if generator is not None:
            return unseeded(scores.shape).to(scores)
        return super().chance(scores, generator)


class ShiftsTheGlobalGenerator(Sound):
    def chance(self, scores, generator):
        numpy.random.rand()
        return super().chance(scores, generator)


class ClearsTheCodes(Sound):
    def fuse(self, codes, present=None, generator=None):
        state = super().fuse({n: code.clone() for n, code in codes.items()}, present, generator)
        for code in codes.values():
            code.zero_()
        return state


class TeachesAllButOne(Sound):
    def fuse(self, codes, present=None, generator=None):
        held = {n: code.detach() if n == "third" else code for n, code in codes.items()}
        return super().fuse(held, present, generator)


class HasAnIdleParameter(Sound):
    def __init__(self, dim, activation="tanh", sharpness=1.0):
        super().__init__(dim, activation, sharpness)
        self.idle = nn.Parameter(torch.zeros(dim))


class PutsATensorInItsConfig(Sound):
    def config(self):
        return {"sharpness": torch.tensor(self.sharpness)}


class ForgetsASetting(Sound):
    def config(self):
        return {}


class KeepsAWeightToItself(Sound):
    def __init__(self, dim, activation="tanh", sharpness=1.0):
        super().__init__(dim, activation, sharpness)
        self.own = 1 + float(torch.rand(()))

    def scores(self, codes):
        return self.own * super().scores(codes)


class WeighsTheClock(Sound):
    def __init__(self, dim, activation="tanh", sharpness=1.0):
        super().__init__(dim, activation, sharpness)
        nn.init.constant_(self.score.weight, time.perf_counter() % 1)


class StaysOnTheCPU(Sound):
    def chance(self, scores, generator):
        if generator is None:
            return super().chance(scores, generator)
        return torch.rand(scores.shape, generator=generator, dtype=scores.dtype)


BROKEN_FUSIONS = {
    BendsAsItLikes: "it_is_a_fusion_with_a_size_and_an_activation",
    DropsARow: "its_state_has_the_rows_of_the_codes_and_the_size_of_the_workspace",
    RoundsToFloat32: "its_state_has_the_rows_of_the_codes_and_the_size_of_the_workspace",
    HasOneVariancePerRow: "its_state_has_the_rows_of_the_codes_and_the_size_of_the_workspace",
    SqueezesABatchOfOne: "one_row_or_none_is_enough",
    TakesLogarithms: "its_state_is_finite",
    SumsInsteadOfSharing: "its_weights_are_shares_of_the_domains_that_are_there",
    SharesWithTheMissing: "its_weights_are_shares_of_the_domains_that_are_there",
    MultipliesWhatIsMissing: "what_a_missing_domain_holds_does_not_matter",
    ComparesRows: "each_row_counts_by_itself",
    DrawsForRowsThatHoldSomething: "with_chance_too_each_row_counts_by_itself",
    PrefersTheFirst: "the_order_of_the_domains_does_not_matter",
    HalvesOneAlone: "one_domain_alone_is_finished_as_it_is",
    TrustsFewDomainsLess: "a_row_with_one_domain_is_as_if_there_were_no_others",
    KeepsTheStateAlone: "what_a_state_keeps_can_be_fused_again",
    DrawsWithoutAGenerator: "without_a_generator_its_state_is_the_same_every_time",
    CoolsDown: "without_a_generator_its_state_is_the_same_every_time",
    ReseedsItself: "its_state_is_the_same_for_the_same_generator",
    ShiftsTheGlobalGenerator: "it_leaves_the_global_generators_alone",
    ClearsTheCodes: "it_leaves_the_codes_as_they_were",
    TeachesAllButOne: "gradients_reach_the_codes_that_take_part",
    HasAnIdleParameter: "its_own_parameters_learn",
    PutsATensorInItsConfig: "config_is_json_able",
    ForgetsASetting: "config_and_weights_build_the_same_fusion",
    KeepsAWeightToItself: "config_and_weights_build_the_same_fusion",
    WeighsTheClock: "building_it_twice_from_one_seed_gives_the_same_weights",
    StaysOnTheCPU: "its_state_follows_the_codes_to_another_device",
}
