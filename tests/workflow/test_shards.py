"""Traces and lenses in shards, as the rules make them: the files of one job, whatever their number."""

import shutil

import pytest
import yaml

pytestmark = pytest.mark.long

KINDS = ["state", "control/state", "mlp", "attn", "state_severed_mlp", "state_severed_attn"]
KINDS += ["heads", "neurons", "attribution"]
FOLDER = "results/organism/trace"
TARGETS = [f"{FOLDER}/{kind}.nc" for kind in KINDS]
DECODERS = ["logit", "extended", "tuned", "jacobian"]
LENSES = [f"results/organism/lens/{decoder}.nc" for decoder in DECODERS]
MODULE = "workflow/scripts/strata/share.py"


@pytest.fixture(scope="module")
def ungrouped(project, tmp_path_factory):
    """A copy of the small project in which each prompt is a group, so that few prompts make shards."""
    copy = project.copy(tmp_path_factory.mktemp("shards") / "project")
    module = (copy.folder / MODULE).read_text()
    assert "\nGROUP = 64\n" in module
    copy.write(MODULE, module.replace("\nGROUP = 64\n", "\nGROUP = 1\n"))
    yield copy
    copy.dry_runs.close()


@pytest.fixture(scope="module")
def at_once(ungrouped):
    """Bytes of the traces that are made without shards."""
    done = ungrouped.snakemake("--", *TARGETS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (ungrouped.folder / FOLDER / "shards").exists()
    return [(ungrouped.folder / target).read_bytes() for target in TARGETS]


@pytest.mark.parametrize(("per_shard", "n"), [(2, 2), (1, 3)])
def test_what_is_gathered_is_what_is_made_at_once(ungrouped, at_once, per_shard, n):
    """The last shard is made first, by a run of its own, as after a stop."""
    with ungrouped.changed("config.yaml", ungrouped.config_with("trace.prompts_per_shard", per_shard)):
        plan = ungrouped.plan("--", *TARGETS).jobs
        shards = {"trace_prompts_shard": n, "trace_parts_shard": n, "trace_control_shard": n}
        assert plan == shards | {"gather_shards": len(KINDS)}
        for targets in ([f"{FOLDER}/shards/{n - 1:04}-of-{n}/{kind}.nc" for kind in KINDS[:2]], TARGETS):
            done = ungrouped.snakemake("--", *targets)
            assert done.returncode == 0, done.stdout + done.stderr
        assert [(ungrouped.folder / target).read_bytes() for target in TARGETS] == at_once
        assert not [*(ungrouped.folder / FOLDER / "shards").rglob("*.nc")], "they were for the time being"
        assert ungrouped.plan("--", *TARGETS).jobs == {}


def test_lenses_of_shards_are_those_read_at_once(ungrouped):
    """Traces have one shard then: what is gathered is gathered of all."""
    done = ungrouped.snakemake("--", *LENSES)
    assert done.returncode == 0, done.stdout + done.stderr
    expected = [(ungrouped.folder / target).read_bytes() for target in LENSES]
    with ungrouped.changed("config.yaml", ungrouped.config_with("lens.prompts_per_shard", 2)):
        plan = ungrouped.plan("--", *LENSES).jobs
        n = plan["read_extended_lens_shard"]
        assert n > 2
        assert plan == {"read_lens_shard": 3 * n, "read_extended_lens_shard": n, "gather_shards": 4}
        done = ungrouped.snakemake("--", *LENSES)
        assert done.returncode == 0, done.stdout + done.stderr
        assert [(ungrouped.folder / target).read_bytes() for target in LENSES] == expected
        assert not [*(ungrouped.folder / "results/organism/lens/shards").rglob("*.nc")]
        assert ungrouped.plan("--", *LENSES).jobs == {}


def test_where_sizes_are_unknown_many_prompts_are_not_cut_by_them(ungrouped):
    """One line says so, before any job: what is planned now would not be what is planned later."""
    rows = [{"id": f"q{n}", "text": f"The {n} of", "subject": str(n), "target": " it"} for n in range(1001)]
    content = {"category": "many", "description": "For tests.", "prompts": rows}
    file = ungrouped.folder / "data/prompts/many.yaml"
    config = ungrouped.read("config.yaml")
    sizes = ungrouped.folder / "data/models/organism/config.json"
    kept = shutil.copy(sizes, ungrouped.folder / "kept.json")
    try:
        file.write_text(yaml.safe_dump(content))
        told = yaml.safe_load(sizes.read_text())
        sizes.write_text(sizes.read_text().replace('"n_layer"', '"n_levels"'))
        assert "n_layer" in told
        done = ungrouped.dry_run("--", TARGETS[0])
    finally:
        file.unlink()
        shutil.copy(kept, sizes)
    assert config["trace"]["prompts_per_shard"] == "auto"
    assert done.returncode and "trace.prompts_per_shard: auto needs the sizes of organism" in done.stdout
