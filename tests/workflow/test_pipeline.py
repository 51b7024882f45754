"""The small project's results are what the contracts say."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from PIL import Image

from pipeline.config import check_project
from pipeline.profile import by_rule, costs

ROOT = Path(__file__).parents[2]
DECODERS = ["logit", "extended", "tuned", "jacobian"]
DIMS = {
    "weights.h5": {
        "token_embedding": ("vocab", "channel"),
        "position_embedding": ("position", "channel"),
        "unembedding": ("vocab", "channel"),
        "norm1_gain": ("layer", "channel"),
    },
    "activations.h5": {
        "resid": ("depth", "token", "channel"),
        "attn_out": ("layer", "token", "channel"),
        "mlp_out": ("layer", "token", "channel"),
        "attention_last": ("layer", "head", "token"),
        "logprob_next": ("token",),
        "token_str": ("token",),
    },
    **{
        f"lens/{decoder}.nc": {
            "top_id": ("depth", "token", "k"),
            "top_str": ("depth", "token", "k"),
            "entropy": ("depth", "token"),
            "kl_final": ("depth", "token"),
            "rank_of_target": ("depth", "token"),
        }
        for decoder in DECODERS
    },
    "lens/logit_updates.nc": {
        "top_id": ("part", "layer", "token", "k"),
        "logprob_target": ("part", "layer", "token"),
    },
    "lens/logit.nc": {"top_id": ("depth", "token", "k"), "rank_of_guess": ("depth", "token", "guess")},
    "lens/extended.nc": {"rank_of_word": ("depth", "token", "word")},
    "lens/tuned_fitted.nc": {"weight": ("depth", "channel_out", "channel"), "bias": ("depth", "channel_out")},
    "lens/jacobian_fitted.nc": {"weight": ("depth", "channel_out", "channel")},
    "lens/probes.nc": {"accuracy": ("target", "depth"), "shared_accuracy": ("target", "depth")},
    "lens/contextless.nc": {"kl": ("reference", "decoder", "depth")},
    "lens/mixing.nc": {"change": ("guessed", "applied", "towards", "share", "depth")},
    "lens/repurposing.nc": {"energy": ("token_set", "state", "depth")},
    "lens/questions.nc": {
        "kl_final_share": ("decoder", "category", "layer"),
        "ending_logprob": ("decoder", "demand", "place", "word", "depth"),
    },
    "text/text.nc": {"token_id": ("token",)},
    "text/activations.h5": {"resid": ("depth", "token", "channel")},
    "trace/state.nc": {
        "p_target": ("prompt", "noise", "sample", "depth", "position"),
        "p_corrupted": ("prompt", "noise", "sample"),
        "p_clean": ("prompt",),
    },
    **{
        f"trace/{part}.nc": {"p_target": ("prompt", "noise", "sample", "layer", "position")}
        for part in ("mlp", "attn")
    },
    **{
        f"trace/state_severed_{part}.nc": {
            "p_target": ("prompt", "noise", "sample", "depth", "position"),
            "logit_difference": ("prompt", "noise", "sample", "depth", "position"),
        }
        for part in ("mlp", "attn")
    },
    "trace/heads.nc": {"p_target": ("head", "prompt", "noise", "sample", "layer", "position")},
    "trace/by_category_heads.nc": {"restoration": ("head", "category", "noise", "site", "layer")},
    "trace/neurons.nc": {"p_target": ("neuron_group", "prompt", "noise", "sample", "layer", "position")},
    "trace/by_category_neurons.nc": {"restoration": ("neuron_group", "category", "noise", "site", "layer")},
    "trace/attribution.nc": {"attention": ("prompt", "layer", "head"), "mlp": ("prompt", "layer")},
    "trace/by_category_attribution.nc": {"attention": ("category", "layer", "head")},
    "trace/approximate.nc": {"p_target": ("prompt", "noise", "sample", "depth", "position")},
    "trace/approximate_by_category.nc": {"restoration": ("category", "noise", "site", "depth")},
    "trace/approximation.nc": {
        "error": ("measure", "noise", "category", "site", "depth"),
        "rank_correlation": ("measure", "noise", "category"),
    },
    "trace/by_gap.nc": {"restoration": ("min_gap", "category", "noise", "site", "depth")},
    "trace/severed_mlp.nc": {"share": ("category", "noise", "site", "depth")},
    "attention_text.nc": {"first_by_position": ("layer", "head", "position")},
    "trace/by_category.nc": {
        "restoration": ("category", "noise", "site", "depth"),
        "transition_depth": ("prompt", "noise"),
    },
    "trace/by_category_p_set.nc": {"restoration": ("category", "noise", "site", "depth")},
    "trace/by_category_p_whole.nc": {"restoration": ("category", "noise", "site", "depth")},
    "syntax/text.nc": {"tag": ("token",), "next_role": ("token",)},
    "syntax/activations.h5": {"resid": ("depth", "token", "channel"), "tag": ("token",)},
    "syntax/probes.nc": {"accuracy": ("target", "label", "depth"), "gain_centre": ("target", "label")},
    "syntax/keys.nc": {"trigger": ("layer", "key", "k"), "agreement": ("label", "layer", "key")},
    "embedding/outlier_channels.nc": {"slice_percentile": ("part", "layer", "channel")},
    "embedding.nc": {"token_singular_value": ("component",), "position_left": ("position", "component")},
    "embedding/channels.nc": {"token_std": ("channel",), "position_std": ("channel",), "rho": ("measure",)},
    "embedding/zero_layer.nc": {"on_diagonal": ("variant", "vocab")},
    "embedding/gains.nc": {"outlier": ("norm", "layer", "channel")},
}


@pytest.mark.parametrize("file", DIMS)
def test_files_open_with_names_and_say_what_made_them(project, file):
    with xr.open_dataset(project.folder / "results/organism" / file, engine="h5netcdf") as dataset:
        for name, dims in DIMS[file].items():
            assert dataset[name].dims == dims, name
        made_by = json.loads(dataset.attrs["provenance"])
        assert made_by["strata"]
        section = project.read("config.yaml")["models"]["organism"]
        loaded = {key: section[key] for key in ("source", "revision", "dtype", "device")}
        model = {"name": "organism", "beginning_token": True, **loaded}
        from_weights = ("weights", "embedding.nc", "embedding/channels", "embedding/gains")
        if file.startswith((*from_weights, "text/text", "syntax/text")):  # no device is needed
            del model["device"]
        if file in ("text/text.nc", "syntax/text.nc"):
            del model["dtype"]
        assert len(made_by["model"].pop("contents")) == 16 and made_by["model"] == model
        assert made_by["file"] == f"results/organism/{file}"


def test_prompts_are_accepted_and_passages_stay(project):
    table = pd.read_csv(project.folder / "results/organism/prompts.tsv", sep="\t")
    assert table["accepted"].all() and len(table) == 7
    assert table.set_index("id").loc["lines", "text"] == "one two\nthree $four$ one two"


@pytest.mark.parametrize("decoder", DECODERS)
def test_lens_ends_where_the_model_does(project, decoder):
    results = project.folder / "results/organism"
    lens = xr.open_dataset(results / f"lens/{decoder}.nc", engine="h5netcdf")
    activations = xr.open_dataset(results / "activations.h5", engine="h5netcdf")
    last = lens.isel(depth=-1)
    assert np.allclose(last["kl_final"], 0, atol=1e-5)
    assert (last["rank_of_final"] == 0).all()
    known = ~np.isnan(activations["logprob_next"].values)
    np.testing.assert_allclose(
        last["logprob_target"].values[known], activations["logprob_next"].values[known], atol=1e-4
    )


@pytest.mark.long
def test_published_lenses_take_the_place_of_fitted_ones(project):
    """What was fitted here, saved in the formats that others publish, reads out the same."""
    results, published = project.folder / "results/organism/lens", project.folder / "published"
    published.mkdir()
    fitted = xr.open_dataset(results / "tuned_fitted.nc", engine="h5netcdf").load()
    whole = fitted.isel(depth=fitted["depth"].values % 1 == 0)
    state = {}
    for depth, (weight, bias) in enumerate(zip(whole["weight"].values, whole["bias"].values, strict=True)):
        state[f"{depth}.weight"] = torch.from_numpy(weight) - torch.eye(len(weight))
        state[f"{depth}.bias"] = torch.from_numpy(bias)
    torch.save(state, published / "params.pt")
    shape = {"d_model": len(weight), "num_hidden_layers": len(whole["depth"])}
    (published / "config.json").write_text(json.dumps(shape))
    before = xr.open_dataset(results / "tuned.nc", engine="h5netcdf").load()
    with project.changed(
        "config.yaml", project.config_with("models.organism.lenses", {"tuned": "published"})
    ):
        done = project.snakemake("results/organism/lens/tuned.nc")
        assert done.returncode == 0, done.stderr
        after = xr.open_dataset(results / "tuned.nc", engine="h5netcdf").load()
    whole_depths = before["depth"].values % 1 == 0
    one, other = (dataset.isel(depth=whole_depths)["kl_final"] for dataset in (before, after))
    np.testing.assert_allclose(one, other, atol=1e-4)
    assert "load_lens" in done.stdout + done.stderr
    assert project.snakemake("all").returncode == 0


CONLLU = """\
# text = One cat sees two dogs.
1	One	one	NUM	_	_	2	nummod	_	_
2	cat	cat	NOUN	_	_	3	nsubj	_	_
3	sees	see	VERB	_	_	0	root	_	_
4	two	two	NUM	_	_	5	nummod	_	_
5	dogs	dog	NOUN	_	_	3	obj	_	SpaceAfter=No
6	.	.	PUNCT	_	_	3	punct	_	_

"""


@pytest.mark.long
def test_tags_come_from_a_treebank_that_the_user_names(project):
    sentences = [CONLLU.replace("One", word) for word in ("one", "two", "three", "four")]
    with project.changed(
        "config.yaml", project.config_with("models.organism.tagged_text", "sentences.conllu")
    ):
        project.write("sentences.conllu", "".join(sentences))
        done = project.snakemake("results/organism/syntax/text.nc")
        assert done.returncode == 0, done.stderr
        text = xr.open_dataset(project.folder / "results/organism/syntax/text.nc", engine="h5netcdf").load()
        project.write("sentences.conllu", sentences[0] + sentences[1].replace("3	nsubj", "9	nsubj"))
        failed = project.snakemake("results/organism/syntax/text.nc")
    assert len(np.unique(text["document"])) == 4
    tags = [tag for tag in text["tag"].values[text["document"].values == 0] if tag]
    assert tags == ["NUM", "NOUN", "VERB", "NUM", "NOUN", "PUNCT"]
    assert failed.returncode != 0
    [said] = [line for line in failed.stderr.splitlines() if not line.startswith("Using workflow")]
    assert said.startswith("sentences.conllu: sentence 2, line 11: head 9 (expected: 0 to 6)")
    assert project.snakemake("all").returncode == 0


def test_every_figure_is_a_picture(project):
    for figure in sorted((project.folder / "results/organism/figures").glob("*.png")):
        with Image.open(figure) as image:
            # At least a line that says what is lacking: ink on paper.
            assert image.format == "PNG" and min(image.size) > 40
            assert len(image.convert("L").getcolors()) > 10, figure
        assert figure.with_suffix(".svg").read_text().lstrip().startswith("<?xml")


def test_report_is_one_page_with_every_figure(project):
    done = project.snakemake("--report", "results/report.html")
    assert done.returncode == 0, done.stderr
    page = (project.folder / "results/report.html").read_text()
    for name in (
        "lens_grid_lines_logit_kl_final.png",
        "restoration_lines.png",
        "trace_once.png",
        "evaluation.html",
        "What was run",
        "of all pairs of facts cross in the expected order",
        "Figures and pages, with their captions, are on the left",
    ):
        assert name in page
    assert len(page) < 15_000_000 and "filename=explorer.html" not in page
    embedded = re.findall(r'"data_uri": "data:image/png;[^"]*?base64,', page)
    pictures = (project.folder / "results").rglob("*.png")
    figures = [path for path in pictures if "training" not in path.parts and path.stem[:9] != "findings_"]
    assert len(embedded) == len(figures) and page.count("data:image/png;base64,") >= 3, (
        "those of the first page"
    )
    assert not re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="http', page)


def pixels(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


@pytest.mark.long
def test_no_picture_comes_under_another_ones_caption(project):
    """Rows of the table in another order: the same pictures under the same names, and nothing to draw."""
    table = project.read("workflow/figures.yaml")
    names = list(table)
    first, second = names.index("lens_commas"), names.index("lens_first_block")
    names[first], names[second] = names[second], names[first]
    figures = project.folder / "results/organism/figures"
    before = pixels(figures)
    with project.changed("workflow/figures.yaml", {name: table[name] for name in names}):
        assert project.planned("all") == []
        done = project.snakemake("--forcerun", "draw_lens", "--", "results/organism/figures/lens_commas.png")
        assert done.returncode == 0, done.stderr
        assert pixels(figures) == before
        figure = {f.name: f for f in check(project).figures}["lens_commas"]
        assert (figure.caption, figure.draw) == ("lens_commas", "lens_questions.draw_commas")
    # Functions swapped: the pictures follow, each under the name that its row says.
    table["lens_commas"]["draw"], table["lens_first_block"]["draw"] = (
        table[name]["draw"] for name in ("lens_first_block", "lens_commas")
    )
    with project.changed("workflow/figures.yaml", table):
        done = project.snakemake("results/organism/figures/lens_commas.png")
        assert done.returncode == 0, done.stderr
        after = pixels(figures)
    assert after["lens_commas.png"] == before["lens_first_block.png"]
    assert after["lens_first_block.png"] == before["lens_commas.png"]
    assert project.snakemake("all").returncode == 0
    assert pixels(figures) == before


def check(project):
    os.chdir(project.folder)
    try:
        return check_project(project.read("config.yaml"), Path("workflow"))
    finally:
        os.chdir(ROOT)


@pytest.mark.long
def test_the_first_figures_are_named_with_their_paths(project):
    done = project.snakemake("--forcerun", "draw_lens_grids", "draw_single_traces", "--", "all")
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    for line in (
        "first lens grid: results/organism/figures/lens_grid_lines_logit_kl_final.png",
        "first causal trace: results/organism/figures/trace_once.png",
    ):
        assert line in said
        assert (project.folder / line.partition(": ")[2]).is_file()


def test_shown_traces_are_those_of_the_whole(project):
    results = project.folder / "results/organism/trace"
    for what in ("state", "mlp", "attn"):
        with (
            xr.open_dataset(results / f"shown/{what}.nc", engine="h5netcdf") as shown,
            xr.open_dataset(results / f"{what}.nc", engine="h5netcdf") as whole,
        ):
            assert shown["prompt"].values.tolist() == ["once"]
            alike = whole.sel(prompt=["once"])
            chosen = shown.sel(noise=alike["noise"].values).isel(sample=slice(alike.sizes["sample"]))
            width = shown.sizes["position"]
            np.testing.assert_allclose(
                chosen["p_target"], alike["p_target"].isel(position=slice(width)), atol=1e-5
            )


def test_the_approximate_trace_by_itself_needs_no_exact_one(project):
    config = project.config_with("trace.approximate", False)
    with project.changed("config.yaml", config):
        own = {"curate_prompts", "trace_approximate", "average_approximate", "draw_first_order"}
        assert set(project.planned("--forceall", "approximate")) == {*own, "approximate"}
        assert not {*project.planned("--forceall", "all")} & {*own, "compare_approximation"} - {
            "curate_prompts"
        }


def test_a_jobs_cost_is_in_its_log_and_in_the_profile(project):
    jobs = costs(project.folder / "logs")
    rules = {row[0]: row for row in by_rule(jobs)}
    assert {"trace_prompts", "draw_lens", "fit_tuned", "all"} <= set(rules)
    _, n_jobs, cpu, imports, _, memory = rules["trace_prompts"]
    assert n_jobs == 2 and 0 < imports < cpu and memory > 50
    assert rules["all"][1] == len(jobs)
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.profile", str(project.folder / "logs")],
        cwd=ROOT / "workflow/scripts",
        capture_output=True,
        text=True,
        check=True,
    )
    assert "imports s" in done.stdout and "trace_prompts" in done.stdout


def test_an_interrupted_or_failing_job_leaves_a_log(project):
    logs = sorted((project.folder / "logs/organism").glob("*.log"))
    assert {"trace_prompts.log", "read_lens_logit.log"} <= {log.name for log in logs}
    assert "batches of prompts: 100%" in (project.folder / "logs/organism/trace_prompts.log").read_text()
