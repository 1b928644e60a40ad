"""Write the README's results table from docs/results/claims.json.

Run: python tests/benchmarks/readme_table.py
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
README, CLAIMS = ROOT / "README.md", ROOT / "docs" / "results" / "claims.json"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"

LABELS = {
    "vae_r2_rotation": "`image-vae`: R² of rotation, read from the latent",
    "vae_r2_min_other": "`image-vae`: smallest R² of x, y, size, colour",
    "vae_class_accuracy": "`image-vae`: class accuracy",
    "renderer_pictures_per_s_one_core": "Simple Shapes renderer, one core",
    "demo_minutes": "`globalworkspace demo`, whole run",
    "demo_matched_only_error": "Demo: translation error, matched rows only",
    "demo_semi_error": "Demo: translation error, unmatched rows too",
    "emoji_r5_default_200": "Emoji, 200 pairs: R@5, recipe `default`",
    "emoji_r5_workspace_200": "Emoji, 200 pairs: R@5, the example's workspace",
    "emoji_r5_ridge_200": "Emoji, 200 pairs: R@5, ridge",
    "emoji_r5_cca_200": "Emoji, 200 pairs: R@5, CCA",
    "pairs_factor_default_vs_supervised_to_attributes": (
        "Times fewer pairs than `supervised`, pictures to attributes"
    ),
    "pairs_factor_default_vs_supervised_to_picture": (
        "Times fewer pairs than `supervised`, attributes to pictures"
    ),
    "pairs_factor_default_vs_paper": "Times fewer pairs than the paper's recipe",
    "default_worst_ratio_to_supervised": "Error of `default` over `supervised`, the worst of all N",
    "pairs_factor_paper_protocol": "The paper's protocol: times fewer pairs, all four families",
    "pairs_factor_paper_protocol_default": "The paper's protocol: times fewer pairs, `default`",
    "pairs_factor_paper_protocol_captions": "The same, pictures and captions: all four families",
    "pairs_factor_paper_protocol_default_captions": "Pictures and captions: `default`",
    "odd_one_out_cross_modal_accuracy": "Odd one out of two pictures and a row of attributes",
    "odd_one_out_best_baseline": "The same, best of three baselines",
    "caption_to_attributes_class_accuracy_without_pairs": (
        "Caption → attributes without one such pair: class right"
    ),
    "caption_shape_word_accuracy": (
        "Picture → best of 32 sentences, fully matched: shape word right"
    ),
    "caption_colour_word_accuracy": (
        "Picture → best of 32 sentences, fully matched: colour word right"
    ),
    "caption_place_word_accuracy": "Picture → best of 32 sentences, fully matched: place right",
    "caption_shape_word_accuracy_500": "Picture → written sentence, 500 pairs: shape word right",
    "caption_colour_word_accuracy_500": "Picture → written sentence, 500 pairs: colour word right",
    "caption_place_word_accuracy_500": "Picture → written sentence, 500 pairs: place right",
    "sound_to_picture_class_accuracy": "Sound → picture, 1,000 rows matched: class seen in it",
    "sound_to_picture_r2_place": "Sound → picture, 1,000 rows matched: R² of the place",
    "picture_to_sound_class_accuracy": "Picture → sound, 1,000 rows matched: class heard in it",
    "picture_to_sound_r2_place": "Picture → sound, 1,000 rows matched: R² of pitch and side",
    "sound_to_sentence_shape_word_accuracy": (
        "Sound → written sentence, 1,000 rows matched: shape word right"
    ),
    "sound_to_sentence_colour_word_accuracy": (
        "Sound → written sentence, 1,000 rows matched: colour word right"
    ),
    "spoken_captions_r1_workspace": "Spoken captions, 200 pairs: R@1 of the sentence, workspace",
    "spoken_captions_r1_cca": "Spoken captions, 200 pairs: R@1 of the sentence, CCA",
    "spoken_captions_class_accuracy": "Spoken captions: class of the shape, from the sound alone",
    "fusemix_identity_error": "FuseMix: largest error of a linear map after mixing",
    "fusemix_broken_identity_error": "The same, coefficient or partner each domain's own: smallest",
    "mmvm_imputation_r2": "MMVM: R² of a domain imputed from another, shared and private factors",
    "mmvm_shuffled_r2": "The same, pairs shuffled",
    "probe_interactions_min": "Integration probe: of 40 simulated sites that integrate, flagged",
    "probe_false_flags_max": "The same: of 40 of five kinds that do not, the most",
    "fewshot_signal_gain": "Few-shot with language (frozen mode): gain over the best control",
    "fewshot_null_wins": "The same without signal: wins declared",
    "fewshot_null_seeds": "Of so many seeds",
    "vqa_accuracy_workspace_500": "Questions about shapes: states of a workspace, 500 pairs",
    "vqa_accuracy_contrastive_500": "The same: states by contrastive alone, 500 pairs",
    "vqa_accuracy_question_only": "The same: the question alone",
    "vqa_accuracy_concat_500": "The same: frozen latents of the picture, which hold more",
    "matching_auroc_500": "Does a caption belong to a picture, 500 pairs: AUROC",
    "matching_auroc_hard_500": "The same against captions that differ in one respect",
    "sound_vae_r2_min_other": "`spectrogram-vae`: smallest R² of pitch, side, loudness, colours",
    "sound_vae_r2_rotation": "`spectrogram-vae`: R² of rotation, the moment of the swell",
    "sound_vae_class_accuracy": "`spectrogram-vae`: class accuracy, by timbre",
    "fusion_speedup_n8": "Step with 8 domains fused, against `shimmer` walking all 255 sets",
    "text_encoding_speedup": "Sentences through MiniLM, against a plain loop",
    "warm_cache_speedup": "The same a second time, from the store",
    "step_speedup_min_vs_shimmer_lightning": "Training step, fp32: least speed-up over `shimmer`",
    "step_speedup_b2056_vs_shimmer_lightning": "The same with 2,056 rows",
    "step_speedup_compiled_or_bf16_min": "Compiled or in bf16, 512 rows and more: the least",
    "step_speedup_width256_fp32": "Networks of width 256, fp32",
    "step_speedup_width256_bf16": "Networks of width 256, bf16",
    "step_speedup_gpu_min_vs_shimmer_lightning": "On a GPU (H200), fp32: the least",
    "time_to_quality_speedup": "Time to the error of `shimmer` after its tutorial",
    "larger_than_memory_speed_fraction": "10,000,000 rows from files: speed against memory",
    "ddp_gradient_max_abs_difference": "2 and 4 processes against one: largest gradient difference",
    "elastic_digest_equal": "Runs with three processes killed that end with equal weights",
    "conformance_broken_modules": "Conformance kit: modules broken on purpose",
    "conformance_broken_modules_caught": "Conformance kit: of these caught",
    "help_time_over_import_torch": "`globalworkspace --help` against `import torch`",
    "plugins_time_over_import_torch": "`globalworkspace plugins` against `import torch`",
    "plugin_list_time_over_python_start": "`globalworkspace plugins` against an empty Python",
    "kills": "Training runs killed at random and at named points",
    "kills_lost": "Of these: steps lost, unreadable, mixed, or another end",
    "resume_points": "Steps at which a run was interrupted",
    "resume_points_different": "Of these: runs that ended differently, by a byte",
    "corruptions": "Damaged checkpoints, latents and workspaces",
    "corruptions_accepted": "Of these: accepted",
    "fuzz_cases": "Cases of fuzzing: saved folders, tables, configs",
    "fuzz_failures": "Of these: crashes, hangs, wrong answers",
    "hostile_files": "Hostile folders",
    "hostile_files_executed": "Of these: ran code or left their place",
    "report_browser_errors": "Report of four domains in Chromium: errors",
    "report_open_seconds": "The same of 100,000 steps: time to open",
    "report_kib": "The same: size",
    "axe_serious": "Serious faults that axe-core finds in it and in `serve`",
    "onnx_max_abs_difference": "Translations by onnxruntime: largest difference",
}
"""Name in the claims file -> what the README calls it, in the README's order."""


def results_section(claims: Mapping[str, Mapping[str, Any]]) -> str:
    """The lines between the markers: the headline figures that the claims hold."""
    names = [name for name in LABELS if name in claims]
    if not names:
        return ""
    rows = ["| figure | value | range | command |", "|---|---|---|---|"]
    for name in names:
        claim = claims[name]
        value, low, high = (_number(claim[key]) for key in ("value", "low", "high"))
        unit = "" if claim["unit"] in ("", "1") else f" {claim['unit']}"
        rows.append(f"| {LABELS[name]} | {value}{unit} | {low} – {high} | `{claim['command']}` |")
    return "\n".join(rows) + "\n"


def with_results(readme: str, claims: Mapping[str, Mapping[str, Any]]) -> str:
    """The README's text with its results section made from the claims."""
    before, _, rest = readme.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"The README needs the markers {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n{results_section(claims)}{END}{after}"


def load_claims() -> dict[str, Any]:
    """The claims file; nothing where it does not exist yet."""
    return json.loads(CLAIMS.read_text(encoding="utf-8")) if CLAIMS.exists() else {}


def _number(value: float) -> str:
    """Whole above 100, else three significant digits, but as many as tell a share from 1."""
    if 0.995 <= value < 1:
        return f"{value:.4f}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    README.write_text(with_results(README.read_text(encoding="utf-8"), load_claims()), "utf-8")
