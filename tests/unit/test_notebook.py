"""One text through the lens, one prompt traced, in a line: what the pipeline makes, with its picture."""

import inspect
import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image
from transformers import AutoModelForCausalLM

import strata
from oracles import trace as oracle
from strata import io
from strata.figures.lens import draw_grid
from strata.figures.trace import draw_trace
from strata.notebook.load import Model
from strata.trace.corruption import Prompt, noise_levels, seeded_noise

ROOT = Path(__file__).parents[2]
SOURCE = str(ROOT / "data/models/organism")
TEXT = "The capital of France is"
NO_GPU = "there is no GPU here"


@pytest.fixture(scope="module")
def model() -> Model:
    return strata.load(SOURCE, device="cpu", progress=False)


@pytest.fixture(scope="module")
def lens(model):
    return strata.lens(model, TEXT, progress=False)


@pytest.fixture(scope="module")
def trace(model):
    return strata.trace(model, TEXT, "France", " Paris", samples=3, progress=False)


# The lens -----------------------------------------------------------------------------------


def test_the_lens_is_the_models_own_readout_of_every_depth(model, lens):
    """As transformers gives out its states, in float64; its last one has been through the final norm."""
    theirs = AutoModelForCausalLM.from_pretrained(SOURCE, dtype=torch.float64)
    ids = model.tokenizer.encode(TEXT)
    with torch.no_grad():
        run = theirs(torch.tensor([ids]), output_hidden_states=True)
        states = run.hidden_states[:-1]
        logits = [*(theirs.lm_head(theirs.transformer.ln_f(state)) for state in states), run.logits]
    logp = torch.cat(logits).log_softmax(-1)
    top = logp.topk(10)
    whole = lens.sel(depth=np.arange(len(logits)))
    close = {"rtol": 0, "atol": 2e-4}
    np.testing.assert_array_equal(whole["top_id"], top.indices)
    np.testing.assert_allclose(whole["top_logprob"], top.values, **close)
    np.testing.assert_allclose(whole["entropy"], -(logp.exp() * logp).sum(-1), **close)
    np.testing.assert_allclose(whole["kl_final"], (logp[-1].exp() * (logp[-1] - logp)).sum(-1), **close)
    following = logp[:, range(len(ids) - 1), ids[1:]]
    np.testing.assert_allclose(whole["logprob_target"][:, :-1], following, **close)
    assert whole["logprob_target"][:, -1].isnull().all() and lens["target_id"].values[-1] == -1


def test_the_lens_is_labelled_as_in_the_pipelines_file(lens):
    depths = np.arange(25) / 2
    np.testing.assert_array_equal(lens["depth"], depths)
    assert lens["top_id"].dims == ("depth", "token", "k") and lens.sizes["k"] == 10
    assert lens["token_str"].values.tolist() == ["The", "Ġcapital", "Ġof", "ĠFrance", "Ġis"]
    assert lens["target_str"].values.tolist() == ["Ġcapital", "Ġof", "ĠFrance", "Ġis", ""]
    assert (
        lens["rank_of_guess"].dims == ("depth", "token", "guess") and lens["entropy"].attrs["units"] == "nat"
    )
    assert lens.attrs == {"decoder": "logit", "norm": "whole", "model": SOURCE}


def test_the_extended_lens_says_what_the_model_says_from_where_it_begins(model, lens):
    found = strata.lens(model, TEXT, "extended", top_k=3, last=4, progress=False)
    np.testing.assert_array_equal(found["depth"], np.arange(13))
    assert (found["kl_final"].sel(depth=slice(8, 12)) < 1e-4).all()
    assert found["kl_final"].sel(depth=7).max() > 0.01
    np.testing.assert_array_equal(found["top_id"].sel(depth=12), lens["top_id"].sel(depth=12, k=slice(3)))


# The trace ----------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("what", ["state", "mlp"])
def test_a_trace_is_one_forward_per_site_with_the_same_noise(model, what):
    ids = model.tokenizer.encode(TEXT)
    subject, target = (
        ids.index(model.tokenizer.encode(" France")[0]),
        model.tokenizer.following(TEXT, " Paris"),
    )
    sd = noise_levels(model.parts, [ids[subject]], absolute=[], relative=[2])["2x"]
    shape = (1, model.parts.n_channels)
    noise = [np.float32(sd) * seeded_noise(TEXT, "2x", sample, 7, shape) for sample in range(2)]
    prompt = Prompt(
        input_ids=ids,
        subject=(subject,),
        labels=[("2x", 0), ("2x", 1)],
        corrupted_ids=np.full((2, 1), ids[subject]),
        noise=np.array(noise),
        target_id=target[0],
    )
    restored, corrupted, clean = oracle.trace(model.parts, prompt, what, 3)
    options = {"noise": 2, "samples": 2, "seed": 7, "what": what, "window": 3, "progress": False}
    found = strata.trace(model, TEXT, "France", " Paris", **options).squeeze()
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(found["p_target"][..., subject:], restored[0, ..., subject:].exp(), **close)
    np.testing.assert_allclose(found["kl_clean"][..., subject:], restored[2, ..., subject:], **close)
    np.testing.assert_allclose(found["p_corrupted"], corrupted[0].exp(), **close)
    np.testing.assert_allclose(found["p_clean"], clean[0].exp(), **close)
    assert found["p_target"][..., :subject].isnull().all() and float(found["noise_sd"]) == sd
    assert abs(restored[0, ..., subject:] - corrupted[0, :, None, None]).max() > 0.01


def test_the_noise_is_in_multiples_of_the_subjects_own_deviation(model, trace):
    embedding = model.parts.token_embedding.weight
    own = embedding[model.tokenizer.encode(" France")].std().item()
    assert trace["noise"].values.tolist() == ["3x"]
    np.testing.assert_allclose(trace["noise_sd"], 3 * own, rtol=1e-6)


def test_without_a_target_it_is_what_the_model_goes_on_with(model, trace):
    found = strata.trace(model, TEXT, "France", samples=1, progress=False)
    assert found["target"].values == [" P"] and found["top_str"].values == ["ĠP"]
    np.testing.assert_array_equal(found["p_clean"], trace["p_clean"])
    assert "note" not in found.attrs and "note" not in trace.attrs


def test_a_target_that_the_model_does_not_guess_is_traced_and_noted(model):
    found = strata.trace(model, TEXT, "France", "Paris", samples=1, progress=False)
    assert found.attrs["note"] == "the model's top guess is not the target: did you mean ' Paris'?"


@pytest.mark.parametrize(
    ("text", "subject", "options", "says"),
    [
        (TEXT, "Lyon", {}, f"prompt '{TEXT}': subject: 'Lyon' does not occur in its text"),
        (
            "From France to France it is",
            "France",
            {},
            "occurs 2 times in its text; say which is meant with `occurrence`",
        ),
        (
            "From France to France it is",
            "France",
            {"occurrence": 3},
            "occurrence: 3, but the subject occurs 2 times",
        ),
        (
            "From France to France it is",
            "France",
            {"occurrence": 0},
            "occurrence: 0, but the subject occurs 2 times",
        ),
        (TEXT, "Fran", {}, "the subject begins or ends inside a token"),
        (TEXT, "The", {}, "the first token is the subject (put a text before it"),
        (TEXT, "is", {}, "the last token is the subject"),
        (TEXT, "France", {"target": ""}, "the text's own tokens change where the target follows"),
        ("The capital of France is " + "so " * 200, "France", {}, "more than the model's 128 positions"),
        (TEXT, "France", {"noise": 0}, "noise is above 0"),
        (TEXT, "France", {"samples": 0}, "samples are at least 1"),
        (TEXT, "France", {"what": "heads"}, "what is restored must be one of state, mlp"),
    ],
)
def test_what_cannot_be_traced_is_said_in_one_line(model, text, subject, options, says):
    with pytest.raises(ValueError, match=re.escape(says)) as error:
        strata.trace(model, text, subject, **options, progress=False)
    assert "\n" not in str(error.value)


def test_an_occurrence_is_chosen(model):
    text = "From France to France it is"
    options = {"samples": 1, "progress": False}
    found = [strata.trace(model, text, "France", occurrence=n, **options) for n in (1, 2)]
    starts = [int(trace["subject_start"][0]) for trace in found]
    tokens = found[0]["token_str"].values[0].tolist()
    assert starts == [n for n, token in enumerate(tokens) if token == "ĠFrance"] and len(starts) == 2


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("", {}, "the text is empty"),
        (TEXT * 60, {}, "more than the model's 128 positions"),
        (TEXT, {"decoder": "tuned"}, "decoder is logit or extended, not 'tuned'"),
        (TEXT, {"norm": "none"}, "norm is 'whole' or 'plain', not 'none'"),
        (TEXT, {"device": "cpu"}, "is loaded: give device and dtype to strata.load"),
    ],
)
def test_what_the_lens_cannot_read_is_said_in_one_line(model, text, options, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        strata.lens(model, text, **options, progress=False)


def test_a_model_may_be_named_instead_of_loaded(lens, trace):
    xr.testing.assert_identical(strata.lens(SOURCE, TEXT, device="cpu"), lens)
    again = strata.trace(SOURCE, TEXT, "France", " Paris", samples=3, device="cpu")
    xr.testing.assert_identical(again, trace)


@pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)
def test_a_gpu_says_the_same(lens, trace):
    model = strata.load(SOURCE, device="cuda", progress=False)
    close = {"rtol": 2e-3, "atol": 2e-3}
    np.testing.assert_allclose(strata.lens(model, TEXT)["kl_final"], lens["kl_final"], **close)
    again = strata.trace(model, TEXT, "France", " Paris", samples=3)
    np.testing.assert_allclose(again["p_target"], trace["p_target"], **close)


# Pictures and bars --------------------------------------------------------------------------


def shown(dataset) -> Image.Image:
    """The picture that a notebook shows."""
    png = re.match(r'<img src="data:image/png;base64,([^"]+)"', dataset._repr_html_())
    assert png, "no picture"
    return Image.open(BytesIO(b64decode(png[1])))


@pytest.mark.parametrize("name", ["lens", "trace"])
def test_a_notebook_shows_the_picture_above_the_variables(name, request):
    dataset = request.getfixturevalue(name)
    picture = shown(dataset)
    assert picture.format == "PNG" and min(picture.size) > 250
    assert "xr-wrap" in dataset._repr_html_() and "Dimensions" in repr(dataset)


@pytest.mark.parametrize("part", ["lens.isel(depth=0)", "lens + 1", "lens.copy()", "trace.mean('sample')"])
def test_what_is_made_of_it_shows_its_variables_alone(lens, trace, part):
    html = eval(part, {"lens": lens.drop_vars(["top_str"]), "trace": trace})._repr_html_()
    assert "<img" not in html and "xr-wrap" in html


def test_figures_take_them(lens, trace):
    assert len(lens.figure(window=(1, 4)).axes[0].get_xticks()) == 3
    drawn, direct = trace.figure(), draw_trace(trace, TEXT)
    assert drawn.axes[0].get_title() == direct.axes[0].get_title()
    assert TEXT in draw_grid(lens, TEXT, (0, 5)).axes[0].get_title()


def test_the_readers_own_figures_keep_their_style(lens):
    with matplotlib.rc_context({"backend": "svg", "axes.grid": False, "axes.titlesize": 3}):
        before = dict(matplotlib.rcParams)
        lens.figure()
        shown(lens)
        assert dict(matplotlib.rcParams) == before


def test_a_bar_is_shown_unless_it_is_turned_off(model, capsys):
    strata.lens(model, TEXT)
    strata.trace(model, TEXT, "France", samples=1)
    said = capsys.readouterr().err
    assert "tiles of tokens" in said and "positions" in said
    strata.lens(strata.load(SOURCE, progress=False), TEXT, progress=False)
    assert capsys.readouterr().err == ""


# The package --------------------------------------------------------------------------------


def test_packages_that_are_called_are_packages_still():
    import strata.lens.readout

    assert inspect.ismodule(strata.lens) and strata.lens.readout.read_out
    assert list(inspect.signature(strata.trace).parameters)[:4] == ["model", "text", "subject", "target"]
    assert {"lens", "load", "open", "trace", "__version__"} <= set(dir(strata))
    with pytest.raises(AttributeError, match="module 'strata' has no attribute 'nothing'"):
        strata.nothing  # noqa: B018


def test_the_readmes_example_runs(tmp_path, monkeypatch):
    readme = (ROOT / "README.md").read_text()
    [example] = re.findall(r"```python\n(import strata\n.*?)```", readme, re.S)
    (tmp_path / "data").symlink_to(ROOT / "data")
    (tmp_path / "results/organism/trace").mkdir(parents=True)
    made = xr.Dataset({"restoration": ("depth", [0.0, 1.0])})
    io.write_dataset(made, str(tmp_path / "results/organism/trace/by_category.nc"))
    monkeypatch.chdir(tmp_path)
    exec(example, {})
