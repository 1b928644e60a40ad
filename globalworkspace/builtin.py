"""What the core itself brings, announced through the same hooks as any plugin."""

from __future__ import annotations

from globalworkspace.hookspecs import API_VERSION, Register, hookimpl

globalworkspace_api = API_VERSION


@hookimpl
def register_datasets(register: Register) -> None:
    register(
        "folder",
        "globalworkspace.data.readers:read_folder",
        summary="a folder of files with metadata.csv or .jsonl",
    )
    register(
        "table",
        "globalworkspace.data.readers:read_table",
        summary="a CSV, JSON lines or Parquet file",
    )
    register(
        "huggingface",
        "globalworkspace.data.readers:read_huggingface",
        summary="a Hugging Face data set",
    )


@hookimpl
def register_objectives(register: Register) -> None:
    register(
        "contrastive",
        "globalworkspace.objectives.contrastive:Contrastive",
        summary="symmetric InfoNCE",
    )
    register(
        "translation",
        "globalworkspace.objectives.translation:Translation",
        summary="other domains -> target",
    )
    register(
        "demi_cycle", "globalworkspace.objectives.demi_cycle:DemiCycle", summary="domain -> itself"
    )
    register(
        "cycle", "globalworkspace.objectives.cycle:Cycle", summary="domain -> another -> domain"
    )
    register(
        "fused",
        "globalworkspace.objectives.fused:Fused",
        summary="fused state -> each of its domains",
    )


@hookimpl
def register_fusions(register: Register) -> None:
    register("single", "globalworkspace.fusion:SingleDomain", summary="one present domain per row")
    register("mean", "globalworkspace.fusion:Mean", summary="equal weights")
    register(
        "random-softmax",
        "globalworkspace.fusion:RandomSoftmax",
        summary="random weights with a temperature",
    )
    register("attention", "globalworkspace.fusion:KeyQueryAttention", summary="key-query attention")


@hookimpl
def register_initializers(register: Register) -> None:
    register(
        "cca",
        "globalworkspace.initializers:cca",
        summary="canonical correlations of the matched rows",
    )


@hookimpl
def register_networks(register: Register) -> None:
    register(
        "mlp",
        "globalworkspace.networks:MLPNetworks",
        summary="residual MLPs over all columns",
    )
    register(
        "plain-mlp",
        "globalworkspace.networks:PlainMLPNetworks",
        summary="the paper's plain ReLU layers",
    )
    register(
        "attention",
        "globalworkspace.networks:AttentionNetworks",
        summary="attention pooling of sequences",
    )


@hookimpl
def register_augmentations(register: Register) -> None:
    register(
        "noise",
        "globalworkspace.augmentation:Noise",
        summary="Gaussian noise on the latents, clean targets",
    )
    register(
        "corruption",
        "globalworkspace.corruption:Corruption",
        summary="one domain of some rows is noise, another row's or blank",
    )


@hookimpl
def register_recipes(register: Register) -> None:
    for kind, summary in (
        ("default", "translation, contrastive, synthetic pairs and late cycles"),
        ("supervised", "translation and contrastive on the matched rows"),
        ("paper", "the paper's four families, symmetric"),
        ("contrastive-only", "contrastive on the matched rows"),
        ("translation-only", "translation on the matched rows"),
        ("no-workspace", "direct translators with cycles"),
        ("no-cycles", "the paper without its cycles"),
        ("no-demi-cycles", "the paper without its demi-cycles"),
    ):
        name = kind.upper().replace("-", "_")
        register(kind, f"globalworkspace.recipes:{name}", summary=summary)


@hookimpl
def register_callbacks(register: Register) -> None:
    register(
        "early-stop",
        "globalworkspace.training.callbacks:EarlyStop",
        summary="stop when validation no longer improves",
    )
    register(
        "snapshots",
        "globalworkspace.training.callbacks:Snapshots",
        summary="keep the workspace of every so many steps",
    )
    register(
        "tensorboard",
        "globalworkspace.training.tensorboard:TensorBoard",
        summary="losses, errors and translations for TensorBoard",
    )


@hookimpl
def register_evaluations(register: Register) -> None:
    register(
        "translation",
        "globalworkspace.evaluation.base:translation",
        summary="normalised error of every direction",
    )
    register(
        "retrieval",
        "globalworkspace.evaluation.base:retrieval",
        summary="recall of every direction",
    )
    register(
        "matching",
        "globalworkspace.evaluation.matching:matching",
        summary="do two items belong together",
    )
    register(
        "factors",
        "globalworkspace.evaluation.factors:factors",
        summary="what the states of each domain tell, shared and private",
    )
    register(
        "disentanglement",
        "globalworkspace.evaluation.factors:disentanglement",
        summary="do single dimensions stand for single factors: MIG, DCI",
    )


@hookimpl
def register_report_sections(register: Register) -> None:
    for kind, target, summary in (
        ("data", "training:data", "which domains the rows hold together"),
        ("translations", "walls:translations", "held-out items beside their translations"),
        ("figures", "figures:figures", "errors, recalls and ranks of every direction"),
        ("parts", "figures:parts", "how much of each part of a latent is told"),
        ("round-trips", "walls:round_trips", "held-out items, there and back"),
        ("retrieval", "figures:retrieval", "searches that hit, and that miss"),
        ("map", "states:state_map", "where the states of all domains lie"),
        ("walk", "states:walk", "states along the main directions, decoded"),
        ("factors", "factors:factors_section", "what lives where: factors, shared and private"),
        ("dimensions", "states:dimensions", "which dimension of the workspace tells what"),
        ("selection", "states:selection", "which domain a learnt selection listens to"),
        ("robustness", "robustness:robustness", "translations under noise"),
        ("curves", "training:learning_curves", "losses and errors over the steps"),
        ("reproduce", "training:reproduce", "command, seed, versions and settings"),
    ):
        register(kind, f"globalworkspace.report.{target}", summary=summary)


@hookimpl
def register_commands(register: Register) -> None:
    register(
        "init",
        "globalworkspace.commands.init:Init",
        summary="write a config for a folder or a table",
    )
    register(
        "train",
        "globalworkspace.commands.train:Train",
        summary="train a workspace as a TOML file says",
    )
    register(
        "translate",
        "globalworkspace.commands.translate:Translate",
        summary="translate items with a trained workspace",
    )
    register(
        "retrieve",
        "globalworkspace.commands.retrieve:Retrieve",
        summary="find the items most like what is given",
    )
    register(
        "evaluate",
        "globalworkspace.commands.evaluate:Evaluate",
        summary="judge a finished run again, or by other rows",
    )
    register(
        "report",
        "globalworkspace.commands.report:Report",
        summary="write the report of a finished run again",
    )
    register(
        "runs",
        "globalworkspace.commands.runs:Runs",
        summary="list runs with their headline figures",
    )
    register(
        "compare",
        "globalworkspace.commands.compare:Compare",
        summary="put runs side by side",
    )
    register(
        "doctor",
        "globalworkspace.commands.doctor:Doctor",
        summary="say what is installed, what is missing, how to get it",
    )
    register(
        "completion",
        "globalworkspace.commands.completion:Completion",
        summary="print what a shell needs to complete commands",
    )
    register(
        "serve",
        "globalworkspace.commands.serve:Serve",
        summary="show a run as a page on this machine",
    )
    register(
        "fit-domain",
        "globalworkspace.commands.fit_domain:FitDomain",
        summary="train one domain module on its own data",
    )
    register(
        "encode",
        "globalworkspace.commands.encode:Encode",
        summary="encode a config's data, alone or as one of several workers",
    )
    register(
        "label-efficiency",
        "globalworkspace.commands.label_efficiency:LabelEfficiency",
        summary="find out how many matched rows each recipe needs",
    )
    register(
        "benchmark",
        "globalworkspace.commands.benchmark:Benchmark",
        summary="time training steps on this machine",
    )
    register(
        "plugins",
        "globalworkspace.commands.plugins:Plugins",
        summary="list plugins and what they bring",
    )
    register(
        "new-plugin",
        "globalworkspace.commands.new_plugin:NewPlugin",
        summary="write a new plugin, ready to install and test",
    )
