import pytest
import torch
from globalworkspace_shapes.attributes import sample_attributes
from globalworkspace_shapes.captions import write_captions
from globalworkspace_shapes.words import FIGURES, caption_words, word_accuracy, words_section

from globalworkspace import DomainModule, GlobalWorkspace, LatentSpec, Table
from globalworkspace.errors import ConfigError, DataError
from globalworkspace.evaluation.base import HeldOut

EGG = {
    "shape": ["egg"],
    "x": [16.0],
    "y": [16.0],
    "size": [8.0],
    "rotation": [0.0],
    "r": [1.0],
    "g": [0.0],
    "b": [0.0],
}
RIGHT = "There is a tiny red egg in the middle of the picture, pointing to the north."


def test_true_captions_are_right_in_every_word():
    shapes = sample_attributes(500, torch.Generator().manual_seed(0))
    shares = word_accuracy(write_captions(shapes, 1), shapes.columns())
    assert shares == {name: 1.0 for name in FIGURES}


def test_captions_of_other_shapes_are_right_by_chance_alone():
    shapes = sample_attributes(2000, torch.Generator().manual_seed(0))
    captions = write_captions(shapes, 1)
    shares = word_accuracy(captions[1:] + captions[:1], shapes.columns())
    assert shares["read"] == 1.0
    assert shares["shape"] == pytest.approx(1 / 3, abs=0.05)
    assert shares["color"] < 0.1
    assert shares["place_exact"] < 0.15
    assert shares["direction"] < 0.15


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        ("egg", "kite", {"shape"}),
        ("red", "blue", {"color", "color_exact"}),
        ("red", "fire brick", {"color", "color_exact"}),
        ("in the middle of the picture", "at the center of the top edge", {"place_exact"}),
        (
            "in the middle of the picture",
            "at the very top and halfway across",
            {"place", "place_exact"},
        ),
        ("tiny", "small", {"size_exact"}),
        ("tiny", "huge", {"size", "size_exact"}),
        ("north", "west", {"direction"}),
        (", pointing to the north", "", {"direction"}),
        ("egg", "egg or a kite", set(FIGURES)),
    ],
)
def test_one_wrong_word_costs_its_figures_alone(old, new, wrong):
    shares = word_accuracy([RIGHT.replace(old, new)], EGG)
    assert {name for name, share in shares.items() if share == 0} == wrong


def test_a_color_word_whose_neighbors_hold_the_true_color_is_right_but_not_exact():
    near = EGG | {"r": [250 / 255], "g": [5 / 255], "b": [5 / 255]}
    assert word_accuracy([RIGHT], near)["color_exact"] == 1.0
    tomato = EGG | {"g": [99 / 255], "b": [71 / 255]}
    shares = word_accuracy([RIGHT.replace("red", "coral")], tomato)
    assert (shares["color"], shares["color_exact"]) == (1.0, 0.0)


def test_there_must_be_a_sentence_per_shape():
    with pytest.raises(DataError, match="2 sentences were given for 1 shapes"):
        word_accuracy([RIGHT, RIGHT], EGG)


class Echo(DomainModule):
    """A domain that always writes the same sentence."""

    latent = LatentSpec.continuous(1)

    def encode(self, raw):
        return torch.tensor([[float(len(text))] for text in raw])

    def decode(self, latents):
        return [RIGHT] * len(latents)

    def config(self):
        return {}


class Sizes(DomainModule):
    latent = LatentSpec.continuous(1)

    def encode(self, raw):
        return raw["size"].float()[:, None]

    def config(self):
        return {}


def held_out():
    rows = {name: values * 3 for name, values in EGG.items() if name != "shape"}
    columns = {name: torch.tensor(values) for name, values in rows.items()}
    columns |= {"shape": torch.tensor([1, 0, 1]), "size": torch.tensor([8.0, 8.0, 13.0])}
    raw = Table.from_columns({"caption": [RIGHT, RIGHT + " ", RIGHT], "attributes": columns})
    latents = Table.from_columns({"caption": torch.randn(3, 1), "attributes": torch.randn(3, 1)})
    return HeldOut(raw=raw, latents=latents)


def test_the_evaluation_judges_every_direction_into_the_sentences():
    workspace = GlobalWorkspace({"caption": Echo(), "attributes": Sizes()}, dim=2)
    found = caption_words(workspace, held_out())
    assert list(found) == ["attributes -> caption"]
    assert found["attributes -> caption"]["shape"] == pytest.approx(2 / 3)
    assert found["attributes -> caption"]["size_exact"] == pytest.approx(2 / 3)


def test_the_evaluation_names_the_domain_it_lacks():
    workspace = GlobalWorkspace({"caption": Echo(), "attributes": Sizes()}, dim=2)
    with pytest.raises(ConfigError, match='needs the domain "text"; there are caption, attributes'):
        caption_words(workspace, held_out(), caption="text")


def test_the_report_section_lists_the_figures_and_is_silent_without_them():
    class Run:
        evaluation = {"caption-words": {"a -> caption": dict.fromkeys(FIGURES, 0.5)}}

    section = words_section(Run())
    assert section.rows == [["a -> caption", *["0.500"] * len(FIGURES)]]
    assert len(section.headings) == len(section.rows[0])
    Run.evaluation = {}
    assert words_section(Run()) is None
