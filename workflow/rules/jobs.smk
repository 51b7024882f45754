# every rule with a script -> its environment, log and benchmark, and the code that it depends on: included last
# One scheme for all, logs/{model}/RULE.log and RULE.benchmark.tsv; what a script imports is found, not listed; what runs on the
# device of a model, which a parameter says, asks for a GPU where that is one, and for as many processors as help a model of its
# size; and jobs that nobody waits for yield theirs to those on the way to the first figures, of priority 90 and more.
GIVEN, GPUS = workflow.resource_settings, workflow.global_resources.get("gpu").value
REQUESTS = Requests(config["models"], ESTIMATES, GIVEN.cores, GPUS)
IMAGE = container(workflow)


rule estimate:
    localrule: True
    params:
        config=config,
        prompts=PROJECT.prompts,
    script:
        "../scripts/estimate/estimate.py"


for each in workflow.rules:
    if each.script:
        # `part` is empty, or begins with its own underscore.
        others = ["{part}" if w == "part" else f"_{{{w}}}" for w in sorted(each.wildcard_names - {"model"})]
        name = "".join([each.name, *others])
        path = f"logs/{{model}}/{name}" if "model" in each.wildcard_names else f"logs/{name}"
        each.conda_env, each.container_img = f"{workflow.basedir}/envs/strata.yaml", IMAGE
        each.log_modifier = each.benchmark_modifier = workflow.modifier.path_modifier
        each.set_log(f"{path}.log")
        if len(each.output):  # a benchmark alone would be made once
            each.benchmark = f"{path}.benchmark.tsv"
        on_device = bool({MODELS.settings, MODELS.device} & set(filter(callable, each.params)))
        processors, gpu = each.resources["_cores"].value, each.resources.get("gpu_model").raw
        asked = {"nice": 10 * (each.priority < 90), **REQUESTS.of_rule(each.name, processors, on_device, gpu)}
        each.resources.update(asked)
        each.resources.update(GIVEN.overwrite_resources.get(each.name, {}))
        # As a parameter: as inputs, Snakemake would ask for the size of every module whenever a job ends.
        each.set_params(code=digest(code_of(each.script.partition("scripts/")[2].removesuffix(".py"))))
