# data/prompts/*.yaml, model -> results/{model}/prompts.tsv
# model -> results/{model}/weights.h5
# model, prompts.tsv -> results/{model}/activations.h5


def model_files(wildcards):
    """What is loaded of a model that is a folder; of one on the hub, nothing here to depend on."""
    source = config["models"][wildcards.model]["source"]
    if not is_folder_source(source):
        return []
    folder = Path(source).expanduser()
    kinds = ("*.json", "*.safetensors", "*.txt", "*.model")  # weights, configuration, tokenizer
    return sorted(str(path) for kind in kinds for path in folder.glob(kind))


def model_settings(wildcards, keys=("source", "revision", "dtype", "device")):
    """The section of the job's model, its name included."""
    section = config["models"][wildcards.model]
    chosen = {key: section[key] for key in keys}
    return {"name": wildcards.model, **chosen, "source": os.path.expanduser(section["source"])}


def weights_settings(wildcards):
    """The same without the device: weights are read, nothing is computed."""
    return model_settings(wildcards, ("source", "revision", "dtype"))


def tokenizer_settings(wildcards):
    """The same where only the tokenizer is loaded."""
    return model_settings(wildcards, ("source", "revision"))


def gpus(wildcards):
    """GPUs that a job which runs the model takes: none on the processor, where such jobs run side by side."""
    return int(config["models"][wildcards.model]["device"] != "cpu")


rule curate_prompts:
    input:
        prompts=list(PROJECT.prompts),
        model=model_files,
    output:
        "results/{model}/prompts.tsv",
    priority: 100
    threads: 2
    resources:
        gpu=gpus,
    params:
        model=model_settings,
    script:
        "../scripts/prompts/curate_prompts.py"


rule extract_weights:
    input:
        model=model_files,
    output:
        "results/{model}/weights.h5",
    priority: 90
    params:
        model=weights_settings,
    script:
        "../scripts/extract/extract_weights.py"


rule extract_activations:
    input:
        prompts="results/{model}/prompts.tsv",
        model=model_files,
    output:
        "results/{model}/activations.h5",
    priority: 100
    threads: 2
    resources:
        gpu=gpus,
    params:
        model=model_settings,
        dtype=config["extract"]["dtype"],
    script:
        "../scripts/extract/extract_activations.py"
