"""What rules are said to cost: all that run for a model, as the configuration and the counts have it."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pipeline.config import read_config
from pipeline.counting import counted
from pipeline.counts import SPLIT, at_most
from pipeline.estimate import IF_ASKED, Estimates
from pipeline.estimate_table import REST, table
from pipeline.figure_table import FOLDER, expand_figures, jobs
from pipeline.light_costs import LIGHT
from pipeline.rule_costs import RULES
from strata.costs.machine import CARDS, REFERENCE, Machine, measure
from strata.inputs import read_yaml
from strata.text.documents import SPLITS
from strata.text.prompt_files import read_prompt_files

ROOT = Path(__file__).parents[2]
MODEL = "organism"


@pytest.fixture(scope="module")
def prompts():
    return read_prompt_files(
        Path("data/prompts"), read_yaml("workflow/schemas/prompts.schema.yaml")
    ).categories


@pytest.fixture
def config():
    return read_config(ROOT)


def with_key(config, key, value):
    *path, last = key.split(".")
    section = config
    for part in path:
        section = section[part]
    section[last] = value
    return config


def operations(config, prompts, rule, model=MODEL):
    return sum(job.operations for job in Estimates(config, prompts).jobs(rule, model))


# Which rules --------------------------------------------------------------------------------


def rules_of_a_model() -> set[str]:
    """Names of the rules with a script whose results are a model's; a job of figures has one of its own."""
    text = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    each = re.split(r"^(?=rule |use rule )", text, flags=re.M)[1:]
    named = {re.match(r"(?:rule |use rule \w+ as )(\w+)", rule).group(1): rule for rule in each}
    outputs = {name: rule.partition("output:")[2].partition("script:")[0] for name, rule in named.items()}
    return {
        name
        for name, output in outputs.items()
        if ("{model}" in output or "of_model" in output) and "results/training" not in output
    }


def test_every_rule_of_a_model_has_an_estimate(config):
    found = rules_of_a_model()
    assert {"trace_prompts", "trace_parts", "read_lens", "unpack_model", "judge_claims"} <= found
    figures = expand_figures(yaml.safe_load((ROOT / "workflow/figures.yaml").read_text()), config)
    drawn = {f"draw_{name}" for name, own in jobs(figures).items() if own[0].folder == FOLDER}
    assert found | drawn == RULES.keys() | LIGHT.keys()


def test_a_rule_that_is_not_known_is_an_error(config, prompts):
    with pytest.raises(KeyError, match="divine"):
        Estimates(config, prompts).needs("divine", MODEL)


def test_asking_takes_no_array_library():
    heavy = ("torch", "transformers", "xarray", "numpy", "pandas", "tokenizers")
    code = f"import sys, pipeline.estimate; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "workflow/scripts",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_a_job_that_is_not_asked_for_costs_nothing(config, prompts):
    assert operations(config, prompts, "fit_tuned") > 0
    assert not Estimates(config, prompts).jobs("unpack_model", MODEL)
    with_key(config, "lens.decoders", ["logit"])
    with_key(config, "models.organism.tagged_text", None)
    with_key(config, "organism.variants", {})
    none = Estimates(config, prompts)
    for rule in (
        "fit_tuned",
        "fit_jacobian",
        "read_extended_lens",
        "probe_syntax",
        "tag_text",
        "evaluate_organism",
    ):
        assert not none.jobs(rule, MODEL), rule
        assert none.needs(rule, MODEL).operations == 0
    assert len(none.jobs("read_lens", MODEL)) == 2  # and what sub-blocks add


def test_what_is_made_if_asked_costs_a_run_nothing_until_then(config, prompts):
    for rule in sorted(IF_ASKED):
        estimates = Estimates(with_key(config, "trace.approximate", False), prompts)
        assert estimates.jobs(rule, MODEL) == []
        needed = estimates.needs(rule, MODEL)
        assert needed.minutes > 0 and needed.memory_mb > 0, "who names its file has the job all the same"
        [job] = Estimates(with_key(config, "trace.approximate", True), prompts).jobs(rule, MODEL)
        assert job.seconds > 0 and needed.operations == job.operations


# Configuration ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "key", "value", "least", "most"),
    [
        ("trace_prompts", "trace.samples", 4, 1.6, 2),
        ("trace_parts", "trace.parts.categories", ["semantic"], 0.2, 0.9),
        ("trace_control", "trace.control.categories", ["semantic"], 0.2, 0.9),
        ("trace_parts", "trace.parts.heads", 0, 0.2, 0.95),
        ("trace_parts", "trace.parts.neurons", 0, 0.2, 0.95),
        ("trace_control", "trace.control.prefix", "", 0.3, 0.99),
        ("fit_tuned", "lens.tuned.steps", 400, 1.2, 2),
        ("fit_jacobian", "lens.jacobian.documents", 16, 2, 2),
        ("measure_mixing", "lens.mixing.positions", 6, 1.8, 2),
        ("measure_mixing", "lens.mixing.depths", 12, 1.7, 2),
        ("fit_probes", "lens.probes.epochs", 0, 0, 0.5),
        ("extract_text", "text.documents", 700, 2, 2),
        ("attend_over_text", "attention.long.samples", 0, 0.5, 0.95),
        ("disturb_positions", "embedding.experiments.draws", 20, 1.3, 2),
    ],
)
def test_operations_follow_the_configuration(config, prompts, rule, key, value, least, most):
    before = operations(config, prompts, rule)
    after = operations(with_key(config, key, value), prompts, rule)
    assert least <= after / before <= most


def test_tokens_between_cost_what_they_are_traced_of(config, prompts):
    first = operations(config, prompts, "trace_prompts")
    every = operations(with_key(config, "trace.everywhere.prompts", None), prompts, "trace_prompts")
    none = operations(with_key(config, "trace.everywhere.relative", []), prompts, "trace_prompts")
    assert 0.2 <= none / every <= 0.9
    assert none < first < every


def test_disk_and_memory_follow_types(config, prompts):
    def of(rule):
        [job] = Estimates(config, prompts).jobs(rule, MODEL)
        return job

    whole, states = of("extract_activations").disk, of("trace_prompts").memory
    with_key(config, "extract.dtype", "float16")
    with_key(config, "models.organism.dtype", "bfloat16")
    assert of("extract_activations").disk == whole / 2
    assert states - of("trace_prompts").memory == 2 * Estimates(config, prompts).work(MODEL).shape.parameters


# Counts -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exact(prompts, tmp_path_factory):
    """Of the organism where nothing was run."""
    folder = tmp_path_factory.mktemp("nothing")
    (folder / "data").symlink_to(ROOT / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return counted(read_config(ROOT, str(ROOT / "config.yaml")), MODEL, prompts, 4096)


def test_the_bound_is_not_below_what_the_tokenizer_says(config, prompts, exact):
    bound = at_most(config, MODEL, prompts, 4096)
    assert len(bound.texts) == len(exact.texts) and len(bound.text) == len(exact.text)
    for name in ("texts", "candidates", "text"):
        assert sum(getattr(exact, name)) < sum(getattr(bound, name)) < 4 * sum(getattr(exact, name)), name
    assert exact.kinds < bound.kinds
    assert {c: len(own) for c, own in bound.traced.items()} == {
        c: len(own) for c, own in exact.traced.items()
    }
    of_bound, of_exact = (Estimates(config, prompts, {MODEL: counts}) for counts in (bound, exact))
    for rule in RULES:
        assert of_bound.needs(rule, MODEL).operations >= of_exact.needs(rule, MODEL).operations, rule


def test_subjects_are_where_curation_finds_them(exact, prompts):
    [prompt] = [p for c in prompts.values() for p in c["prompts"] if p["id"] == "capital-japan"]
    index = [p["id"] for c in prompts.values() if c["category"] == "semantic" for p in c["prompts"]].index(
        "capital-japan"
    )
    assert prompt["text"].index(prompt["subject"]) > 0
    traced = exact.traced["semantic"][index]
    assert 0 < traced.first <= traced.last < traced.length


def test_what_was_made_is_counted_there(config, prompts, exact, tmp_path, monkeypatch):
    """Prompts that were not accepted cost curation and nothing else."""
    (tmp_path / "data").symlink_to(ROOT / "data")
    (tmp_path / "results/organism").mkdir(parents=True)
    columns = (
        "id",
        "category",
        "n_tokens",
        "subject_start",
        "subject_position",
        "target_id",
        "target_ids",
        "accepted",
    )
    rows = [
        ("a", "semantic", 9, 3, 4, 7, "7 8", True),
        ("b", "semantic", 9, 3, 4, 7, "7", False),
        ("c", "passages", 50, -1, -1, -1, "", True),
    ]
    lines = ["\t".join(columns), *("\t".join(map(str, row)) for row in rows)]
    (tmp_path / "results/organism/prompts.tsv").write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    found = counted(config, MODEL, prompts, 4096)
    assert (found.candidates, found.texts) == ([11, 10, 50], [9, 50])
    [only] = found.traced["semantic"]
    assert (only.length, only.first, only.last, only.target) == (9, 3, 4, 2)
    assert found.text == exact.text and "2 of 3 prompts" in found.told


def test_a_model_that_is_not_here_has_no_needs(config, prompts, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    config["models"]["far"] = config["models"]["gpt2"] | {"source": "nobody/nothing"}
    assert Estimates(config, prompts).needs("trace_prompts", "far") is None


# Machines -----------------------------------------------------------------------------------


def test_time_is_that_of_the_cores_that_are_used():
    job = Estimates(read_config(ROOT), {}).jobs("extract_text", MODEL)[0]
    machine = Machine(cores=4, products=1e9, values=1e30, disk=1e30, pace=0)
    assert machine.seconds(job, 4) == pytest.approx(job.operations / 1e9)
    assert machine.seconds(job, 1) == pytest.approx(4 * machine.seconds(job, 9))
    slower = replace(machine, pace=2)
    assert slower.seconds(job) - machine.seconds(job) > 2 * job.seconds


def test_this_machine_is_measured(tmp_path):
    found = measure(tmp_path)
    assert min(found.cores, found.products, found.values, found.disk, found.pace) > 0
    assert not [*tmp_path.iterdir()]


def test_the_table_has_every_job_and_their_sum(config, prompts):
    estimates = Estimates(config, prompts)
    lines = table(estimates, MODEL, REFERENCE).splitlines()
    assert lines[0].startswith("organism: 3 million parameters; all ")
    named = [line.split()[0] for line in lines[2:]]
    assert named == [*(rule for rule in RULES if estimates.jobs(rule, MODEL)), REST.split()[0], "all"]
    tokens = [float(line.split()[2].replace(",", "")) for line in lines[2:] if not line.startswith(REST)]
    assert sum(tokens[:-1]) == pytest.approx(tokens[-1], rel=1e-3)


def test_a_card_without_room_for_a_model_has_no_time(config, prompts):
    config["models"]["large"] = config["models"][MODEL]
    estimates = Estimates(config, prompts)
    work = estimates.work("large")
    object.__setattr__(work, "shape", replace(work.shape, layers=300, channels=1280))
    last = table(estimates, "large", REFERENCE).splitlines()[-1].split()
    assert last[-len(CARDS)] == "–" and last[-1] != "–"


def test_texts_are_split_as_they_are_drawn():
    assert tuple(SPLITS.values()) == SPLIT
