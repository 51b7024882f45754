# every rule with a script -> its environment, log and benchmark, and the code that it depends on: included last
# One scheme for all, logs/{model}/RULE.log and RULE.benchmark.tsv, and what a script imports is found, not listed.

for each in workflow.rules:
    if each.script:
        others = sorted(each.wildcard_names - {"model"})
        name = "_".join([each.name, *(f"{{{wildcard}}}" for wildcard in others)])
        path = f"logs/{{model}}/{name}" if "model" in each.wildcard_names else f"logs/{name}"
        each.conda_env = str(Path(workflow.basedir) / "envs/strata.yaml")
        each.log_modifier = each.benchmark_modifier = each.output_modifier
        each.set_log(f"{path}.log")
        each.benchmark = f"{path}.benchmark.tsv"
        # As a parameter: as inputs, Snakemake would ask for the size of every module whenever a job ends.
        each.set_params(code=digest(code_of(each.script.partition("scripts/")[2].removesuffix(".py"))))
