"""Evaluations that each break one promise; `BROKEN_EVALUATIONS` names the check made for it."""

import torch

from globalworkspace.evaluation.base import translation


def sound(workspace, held_out):
    """The translation error, and how many rows were judged."""
    return {"errors": translation(workspace, held_out), "rows": len(held_out.latents)}


def returns_a_tensor(workspace, held_out):
    return {"error": torch.tensor(list(translation(workspace, held_out).values())).mean()}


def returns_nan(workspace, held_out):
    return {"error": float("nan")}


def samples_by_chance(workspace, held_out):
    with torch.random.fork_rng(devices=[]):
        return {"error": float(torch.rand(()))}


def shuffles_by_the_global_generator(workspace, held_out):
    torch.randperm(len(held_out.latents))
    return sound(workspace, held_out)


def trains_a_little(workspace, held_out):
    with torch.no_grad():
        next(workspace.parameters()).add_(0.1)
    return sound(workspace, held_out)


def trains_a_specialist(workspace, held_out):
    with torch.no_grad():
        workspace.domains["left"].gain.mul_(2)
    return sound(workspace, held_out)


def leaves_training_mode(workspace, held_out):
    found = sound(workspace, held_out)
    workspace.train()
    return found


def switches_gradients_off(workspace, held_out):
    torch.set_grad_enabled(False)
    return sound(workspace, held_out)


def leaves_gradients(workspace, held_out):
    codes = workspace.encoder("left")(held_out.standard(workspace)["left"].cells)
    codes.square().mean().backward()
    return sound(workspace, held_out)


def centres_the_rows(workspace, held_out):
    cells = held_out.latents["left"].cells
    cells -= cells.mean(dim=0)
    return sound(workspace, held_out)


def needs_every_domain(workspace, held_out):
    everything = torch.arange(len(held_out.latents))
    for name in held_out.latents:
        held_out.latents[name].take(everything)
    return sound(workspace, held_out)


def forgets_the_device(workspace, held_out):
    workspace.encoder("left")(held_out.latents["left"].cells)
    return sound(workspace, held_out)


BROKEN_EVALUATIONS = {
    returns_a_tensor: "it_returns_json_able_figures",
    returns_nan: "it_returns_json_able_figures",
    samples_by_chance: "the_figures_are_the_same_every_time",
    shuffles_by_the_global_generator: "it_leaves_the_global_generators_alone",
    trains_a_little: "it_leaves_the_weights_as_they_were",
    trains_a_specialist: "it_leaves_the_weights_as_they_were",
    leaves_training_mode: "it_leaves_the_modes_as_they_were",
    switches_gradients_off: "it_leaves_the_modes_as_they_were",
    leaves_gradients: "it_leaves_no_gradient_behind",
    centres_the_rows: "it_leaves_the_rows_as_they_were",
    needs_every_domain: "a_domain_may_be_missing_in_some_rows",
    forgets_the_device: "it_follows_the_workspace_to_another_device",
}
