"""Augmentations that each break one promise; the table names the check made for it."""

import numpy
import torch

from globalworkspace.augmentation import Augmentation


class Sound(Augmentation):
    """Noise, drawn as it should be."""

    def noise(self, values, generator):
        return torch.randn(values.shape, generator=generator).to(values)

    def apply(self, latents, specs, generator):
        return {n: x + 0.1 * self.noise(x, generator) for n, x in latents.items()}


class SaysNoTargets(Sound):
    targets = "dirty"


class LosesADomain(Sound):
    def apply(self, latents, specs, generator):
        return dict(list(super().apply(latents, specs, generator).items())[:1])


class DropsRows(Sound):
    def apply(self, latents, specs, generator):
        return {n: x[:-1] for n, x in super().apply(latents, specs, generator).items()}


class RoundsToFloat32(Sound):
    def apply(self, latents, specs, generator):
        return {n: x.float() for n, x in super().apply(latents, specs, generator).items()}


class TakesLogarithms(Sound):
    def apply(self, latents, specs, generator):
        return {n: x + 0 * (x - x).log() for n, x in latents.items()}


class ReseedsItself(Sound):
    def noise(self, values, generator):
        with torch.random.fork_rng(devices=[]):
            return torch.randn(values.shape).to(values)


class Anneals(Sound):
    def __init__(self):
        self.scale = 1.0

    def apply(self, latents, specs, generator):
        self.scale /= 2
        return {n: x + self.scale * self.noise(x, generator) for n, x in latents.items()}


class ShiftsTheGlobalGenerator(Sound):
    def apply(self, latents, specs, generator):
        numpy.random.rand()
        return super().apply(latents, specs, generator)


class WorksInPlace(Sound):
    def apply(self, latents, specs, generator):
        return {n: x.add_(0.1 * self.noise(x, generator)) for n, x in latents.items()}


class NormalisesByTheBatch(Sound):
    def apply(self, latents, specs, generator):
        return {n: x / x.std(dim=0) for n, x in latents.items()}


class NeedsBoth(Sound):
    def apply(self, latents, specs, generator):
        shared = latents["left"][:, :1] + latents["right"][:, :1]
        return {n: x + 0.1 * shared for n, x in latents.items()}


class StaysOnTheCPU(Sound):
    def noise(self, values, generator):
        return torch.randn(values.shape, generator=generator, dtype=values.dtype)


BROKEN_AUGMENTATIONS = {
    SaysNoTargets: "it_is_an_augmentation_that_says_its_targets",
    LosesADomain: "its_view_has_the_same_domains_shapes_and_dtypes",
    DropsRows: "its_view_has_the_same_domains_shapes_and_dtypes",
    RoundsToFloat32: "its_view_has_the_same_domains_shapes_and_dtypes",
    TakesLogarithms: "its_view_is_finite",
    ReseedsItself: "its_view_is_the_same_for_the_same_generator",
    Anneals: "what_it_was_asked_before_does_not_matter",
    ShiftsTheGlobalGenerator: "it_leaves_the_global_generators_alone",
    WorksInPlace: "it_leaves_the_latents_as_they_were",
    NormalisesByTheBatch: "one_row_is_enough",
    NeedsBoth: "one_domain_is_enough",
    StaysOnTheCPU: "its_view_follows_the_latents_to_another_device",
}
