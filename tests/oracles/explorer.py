"""Reading an explorer page as its script does, slowly and in the open, and what its rounding allows."""

import base64
import gzip
import json
import math
from html.parser import HTMLParser

import numpy as np


class Elements(HTMLParser):
    """Every element's tag, attributes and the text before its first end tag, in order."""

    def __init__(self, html):
        super().__init__()
        self.found, self.inside = [], False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes), []))
        self.inside = True

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.found[-1][2].append(data)

    def of(self, tag):
        return [(attributes, "".join(text)) for name, attributes, text in self.found if name == tag]


def read_page(html):
    """The page's header, and of every prompt its own header and its numbers."""
    scripts = Elements(html).of("script")
    header = json.loads(_unzip(next(text for attributes, text in scripts if attributes.get("id") == "data")))
    prompts = [_split(_unzip(text)) for attributes, text in scripts if "data-prompt" in attributes]
    assert len(prompts) == len(header["prompts"])
    ids = [prompt["id"] for prompt in header["prompts"]]
    return header, dict(zip(ids, prompts, strict=True))


def _unzip(text):
    return gzip.decompress(base64.b64decode(text, validate=True))


def _split(stream):
    said, _, numbers = stream.partition(b"\n")
    own = json.loads(said)
    n = len(numbers) // own["planes"]
    planes = [numbers[i * n : (i + 1) * n] for i in range(own["planes"])]
    return own, [sum(plane[i] << (8 * p) for p, plane in enumerate(planes)) for i in range(n)]


def read_prompt(header, own, numbers):
    """Readouts of one prompt, and its trace (noise, depth, position) if it has one.

    For each decoder variables as lens files have them, (depth, token[, k or guess]). A rank that the page
    cannot tell is -2.
    """
    n_depths, n_tokens, k = len(header["depths"]), len(own["input"]), header["k"]
    numbers, decoders = iter(numbers), range(len(header["decoders"]))
    cells = [(t, d) for t in range(n_tokens) for d in range(n_depths)]

    def read_guesses():
        guesses = {}
        for t, d in cells:
            codes = [next(numbers) for _ in range(k)]
            guesses[t, d] = [guesses[t, d - 1][code] if code < k else code - k for code in codes]
        return guesses

    def read_logprobs():
        codes = {cell: np.cumsum([next(numbers) for _ in range(k)]) for cell in cells}
        return {cell: [-_nats(header, code) for code in codes[cell]] for cell in cells}

    def read_series():
        """A series over depths, told by its changes, with their signs in the lowest bit."""
        codes = [next(numbers) for _ in range(n_depths)]
        return np.cumsum([-(code + 1) // 2 if code % 2 else code // 2 for code in codes]).tolist()

    guesses = [read_guesses() for _ in decoders]
    logprobs = [read_logprobs() for _ in decoders]
    names = ["logit", "entropy", "kl_final", "kl_input"]
    names += [f"{what}_{of}" for what in ("rank", "logprob") for of in ("final", "input", "target")]
    series = {name: [[read_series() for _ in range(n_tokens)] for _ in decoders] for name in names}

    def read_decoder(i):
        references = {"final": [guesses[i][t, n_depths - 1][0] for t in range(n_tokens)]}
        references |= {"input": own["input"], "target": own["target"]}

        def reference(t, token):
            return next((name for name, of in references.items() if of[t] == token), None)

        ranks = {}
        if header["decoders"][i]["ranks"]:
            for t, d in cells:
                top = guesses[i][t, d][0]
                if reference(t, top) is None and (t, top) not in ranks:
                    ranks[t, top] = read_series()

        def rank(t, d, token):
            if token < 0:
                return -1
            if name := reference(t, token):
                return _rank(header, series[f"rank_{name}"][i][t][d])
            return _rank(header, ranks[t, token][d]) if (t, token) in ranks else -2

        def logprob(t, d, token):
            if token < 0:
                return math.nan
            if token in guesses[i][t, d]:
                return logprobs[i][t, d][guesses[i][t, d].index(token)]
            return -_nats(header, series[f"logprob_{reference(t, token)}"][i][t][d])

        def logits(t, d):
            top = series["logit"][i][t][d] / header["logitSteps"]
            return [top + each - logprobs[i][t, d][0] for each in logprobs[i][t, d]]

        def table(value):
            return np.array([[value(t, d) for t in range(n_tokens)] for d in range(n_depths)])

        found = {
            "top_id": table(lambda t, d: [header["ids"][token] for token in guesses[i][t, d]]),
            "top_logprob": table(lambda t, d: logprobs[i][t, d]),
            "top_logit": table(logits),
            "rank_of_guess": table(
                lambda t, d: [rank(t, d, guesses[i][t, other][0]) for other in range(n_depths)]
            ),
        }
        for name in ("entropy", "kl_final", "kl_input"):
            found[name] = table(lambda t, d, of=series[name][i]: _nats(header, of[t][d]))
        for name, of in references.items():
            found[f"rank_of_{name}"] = table(lambda t, d, of=of: rank(t, d, of[t]))
            found[f"logprob_{name}"] = table(lambda t, d, of=of: logprob(t, d, of[t]))
        return found

    found = {decoder["name"]: read_decoder(i) for i, decoder in enumerate(header["decoders"])}
    trace = None
    if "trace" in own:
        shape = len(header["noises"]), len(header["traceDepths"]), n_tokens - own["trace"]["start"]
        restored = [next(numbers) / header["probabilitySteps"] for _ in range(math.prod(shape))]
        trace = np.array(restored).reshape(shape)
    assert next(numbers, None) is None
    return found, trace


def _nats(header, code):
    return math.expm1(code / header["steps"]) / header["bend"]


def _rank(header, code):
    exact = header["exact"]
    return code if code < exact else round(exact * math.exp((code - exact) / header["rankSteps"]))


def assert_rounded(name, found, exact, logprob=None):
    """A readout is what it was, or as near as `strata.figures.explorer_packing` says.

    ``logprob``: of the guesses, for their logits.
    """
    found, exact = np.array(found, float), np.asarray(exact, float)
    nats = (1 + 20 * np.abs(np.nan_to_num(exact))) / (2 * 20 * 50) * 1.01 + 1e-6
    if name in ("top_id", "token_id"):
        np.testing.assert_array_equal(found, exact, err_msg=name)
    elif name.startswith("rank_"):
        small = exact < 100
        np.testing.assert_array_equal(found[small], exact[small], err_msg=name)
        np.testing.assert_allclose(found[~small], exact[~small], rtol=0.0101, atol=0.51, err_msg=name)
    elif name == "top_logit":
        off = (1 + 20 * np.abs(logprob)) / (2 * 20 * 50) * 1.01
        assert (np.abs(found - exact) <= 0.051 + off + off[..., :1]).all(), name
    else:
        np.testing.assert_array_equal(np.isnan(found), np.isnan(exact), err_msg=name)
        off = np.abs(found - exact)
        assert (np.isnan(exact) | (off <= nats)).all(), name
