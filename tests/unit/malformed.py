"""What people may write and should not: files, what stands in them, and what is said of each."""

import json

FACTS, FOUND, DRAWN = "data/prompts/facts", "workflow/findings.yaml", "workflow/figures.yaml"
NAN, INF = float("nan"), float("inf")
GOOD = {"id": "peru", "text": "The capital of Peru is", "subject": "Peru", "target": " Lima"}
ROSE = {"known_id": 7, "subject": "Rose Tower", "attribute": "Lyon", "prompt": "Rose Tower is in"}
REWRITE = {"prompt": "{} speaks", "subject": "Mira", "target_true": {"str": "Frisian"}}
LAMA = {"sub_label": "Peru", "obj_label": "Lima", "template": "[X] is ruled from [Y]."}
WORD = "1\tGo\tgo\tVERB\t_\t_\t0\troot\t_\t_\n"
FIGURE = {
    "job": "lens",
    "section": "1 Lens",
    "labels": {"figure": "x"},
    "draw": "lens_questions.draw_commas",
    "data": {"questions": "results/{model}/lens/questions.nc"},
    "caption": "lens_commas",
}
COUNTS = "token_id\tcount\n"
LONG = "[100 MB of one letter]"
"""What stands for that much."""


def category(*prompts, **others) -> str:
    """A category in YAML, which JSON is."""
    return json.dumps({"category": "facts", "description": "x", "prompts": list(prompts)} | others)


def lines(*entries) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in entries)


def table(*cells: str, separator: str = ",") -> str:
    return "id,text,subject,target\n".replace(",", separator) + separator.join(cells) + "\n"


def figure(name: str = "x", **changes) -> str:
    return json.dumps({name: FIGURE | changes})


def claim(name: str = "x", lead: str = "x", **changes) -> str:
    finding = {"short": "x", "says": "x", "measure": "x", "statistic": "traces.onset", "why": "x"}
    finding |= {"data": {"lens": "results/{model}/lens/logit.nc"}, "figure": "results/{model}/x.png"}
    section = {"title": "x", "source": "x", "lead": lead}
    findings = {name: finding | {"holds": {"above": 0}} | changes}
    names = ("traces", "lens", "embedding", "twins", "published")
    return json.dumps({key: section | {"findings": findings} for key in names})


def laughs(n: int = 9) -> str:
    """A list whose last part stands for a thousand million others."""
    parts = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, n)]
    return "a0: &a0 [x, x]\n" + "".join(parts)


# Each: the file, what stands in it, what the line says of it after the file's name.
PROMPTS = {
    "id that climbs": (f"{FACTS}.yaml", category(GOOD | {"id": "../x"}), "prompt '../x': id: '../x'"),
    "id with a slash": (f"{FACTS}.yaml", category(GOOD | {"id": "a/b"}), "prompt 'a/b': id: 'a/b'"),
    "id from the root": (f"{FACTS}.jsonl", lines(GOOD | {"id": "/etc/x"}), "prompt '/etc/x': id: '/etc/x'"),
    "id with NUL": (f"{FACTS}.jsonl", lines(GOOD | {"id": "a\0"}), r"prompt 'a\x00': id: 'a\x00'"),
    "id of two lines": (f"{FACTS}.json", json.dumps([GOOD | {"id": "a\nb"}]), r"prompt 'a\nb': id: 'a\nb'"),
    "long id": (f"{FACTS}.jsonl", lines(GOOD | {"id": "a" * 5000}), "expected: at most 100 lower-case"),
    "id in a table": (f"{FACTS}.csv", table("../x", "Peru is", "Peru", " x"), "prompt '../x': id: '../x'"),
    "id of dots": (f"{FACTS}.tsv", table("..", "Peru is", "Peru", " x", separator="\t"), "prompt '..': id"),
    "category that climbs": (f"{FACTS}.yaml", category(GOOD, category="../x"), "category: '../x' does not"),
    "category of a path": (f"{FACTS}.yaml", category(GOOD, category="a/facts"), "category: 'a/facts'"),
    "long category": (f"data/prompts/{'a' * 61}.yaml", category(GOOD, category="a" * 61), "at most 60"),
    "long name of entries": (f"data/prompts/{'a' * 61}.jsonl", lines(GOOD), "at most 60 lower-case letters"),
    "fact that climbs": (f"{FACTS}.yaml", category(GOOD | {"fact": "../x"}), "prompt 'peru': fact: '../x'"),
    "object of Python": (
        f"{FACTS}.yaml",
        "category: !!python/object/apply:os.system ['touch ran']\n",
        "line 1: not YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object",
    ),
    "module of Python": (f"{FACTS}.yaml", "a: !!python/module:os ''\n", "line 1: not YAML: could not determ"),
    "tag of one's own": (f"{FACTS}.yaml", "a: !secret x\n", "line 1: not YAML: could not determine a constr"),
    "laughs": (f"{FACTS}.yaml", laughs(), "line 7: what its anchors stand for is more than a million values"),
    "itself": (f"{FACTS}.yaml", "a: &a [*a]\n", "line 1: the anchor 'a' stands inside of itself"),
    "no anchor": (f"{FACTS}.yaml", "a: *b\n", "line 1: not YAML: found undefined alias 'b'"),
    "two documents": (f"{FACTS}.yaml", "a: 1\n---\nb: 2\n", "line 2: not YAML: but found another document"),
    "deep YAML": (f"{FACTS}.yaml", "[" * 10_000, "brackets within brackets, too deep"),
    "deep JSON": (f"{FACTS}.json", "[" * 100_000, "brackets within brackets, too deep"),
    "deep JSON line": (f"{FACTS}.jsonl", "\n" + '{"a":' * 100_000, "line 2: brackets within brackets, too d"),
    "UTF-16": (f"{FACTS}.yaml", category(GOOD).encode("utf-16"), "line 1, byte 1 (0xff): not UTF-8"),
    "UTF-16 without its mark": (
        f"{FACTS}.csv",
        table("a", "b c", "b", " x").encode("utf-16-le"),
        "line 1: NUL",
    ),
    "Latin-1": (f"{FACTS}.csv", table("a", "Un café", "Un", " x").encode("latin-1"), "line 2, byte 9 (0xe9)"),
    "bytes": (f"{FACTS}.json", bytes(range(128, 256)), "line 1, byte 1 (0x80): not UTF-8"),
    "half of a character": (f"{FACTS}.json", '[{"text": "\\ud800"}]', r"half of a character, '\ud800"),
    "half in YAML": (
        f"{FACTS}.yaml",
        'category: "\\ud800"\n',
        "line 1: not YAML: found invalid Unicode",
    ),
    "half as key": (f"{FACTS}.jsonl", '\n{"\\udfff": "x"}', r"line 2: half of a character, '\udfff'"),
    "NUL": (f"{FACTS}.tsv", table("a", "b\0 c", "b", " x", separator="\t"), "line 2: NUL, which no text has"),
    "empty YAML": (f"{FACTS}.yaml", "", "None is not of type 'object'"),
    "empty JSON": (f"{FACTS}.json", "", "line 1, character 1: not JSON"),
    "empty lines": (f"{FACTS}.jsonl", "", "prompts: [] should be non-empty"),
    "empty table": (f"{FACTS}.csv", "", "prompts: [] should be non-empty"),
    "list of nothing": (f"{FACTS}.json", "[]", "prompts: [] should be non-empty"),
    "key twice in YAML": (f"{FACTS}.yaml", "a: 1\nb: 2\na: 3\n", "line 3: not YAML: key 'a' occurs twice"),
    "key twice in JSON": (f"{FACTS}.json", '[{"id": 1, "id": 2}]', "key 'id' occurs twice"),
    "NaN": (f"{FACTS}.jsonl", '{"id": NaN}', "line 1: NaN (expected: a number that JSON has"),
    "infinity": (f"{FACTS}.json", '[{"id": -Infinity}]', "-Infinity (expected: a number that JSON has"),
    "occurrence that is no number": (
        f"{FACTS}.yaml",
        json.dumps({"category": "facts", "description": "x", "prompts": [GOOD]}).replace(
            '" Lima"', '" Lima", "occurrence": .nan'
        ),
        "prompt 'peru': occurrence: nan",
    ),
    "occurrence too far": (f"{FACTS}.yaml", category(GOOD | {"occurrence": 10**30}), "prompt 'peru': occurr"),
    "occurrence below": (f"{FACTS}.jsonl", lines(GOOD | {"occurrence": -1}), "prompt 'peru': occurrence: -1"),
    "occurrence that is true": (f"{FACTS}.jsonl", lines(GOOD | {"occurrence": True}), "occurrence: True"),
    "endless number": (f"{FACTS}.json", "[" + "9" * 5000 + "]", "a number of more digits than can be read"),
    "endless number in YAML": (f"{FACTS}.yaml", f"a: {'9' * 5000}", "line 1: YAML reads 999"),
    "line of 100 MB": (f"{FACTS}.yaml", LONG, "line 1: more than 16,777,216 characters (expected:"),
    "line of 100 MB of JSON": (f"{FACTS}.jsonl", LONG, "line 1: more than 16,777,216 characters"),
    "line of 100 MB of a table": (f"{FACTS}.csv", LONG, "line 1: more than 16,777,216 characters"),
    "long text": (f"{FACTS}.jsonl", lines(GOOD | {"text": "Peru is" * 200_000}), "text: "),
    "wrong types": (f"{FACTS}.json", json.dumps([GOOD | {"text": ["x"]}]), "prompt 'peru': text: ['x"),
    "subject of objects": (f"{FACTS}.jsonl", lines(GOOD | {"subject": {}}), "prompt 'peru': subject:"),
    "prompts that are a text": (f"{FACTS}.yaml", category(prompts="x"), "prompts: 'x' is not of type"),
    "sets of a number": (f"{FACTS}.yaml", category(GOOD, completion_sets=5), "completion_sets: 5 is not of"),
    "known: number of a list": (
        f"{FACTS}.json",
        json.dumps([ROSE | {"known_id": [7]}]),
        "entry 1: known_id: [7]",
    ),
    "known: infinite": (f"{FACTS}.json", json.dumps([ROSE | {"known_id": float("inf")}]), "Infinity"),
    "known: long number": (
        f"{FACTS}.json",
        json.dumps([ROSE | {"known_id": "9" * 5000}]),
        "entry 1: known_id: ",
    ),
    "known: digits of others": (
        f"{FACTS}.json",
        json.dumps([ROSE | {"known_id": "٣"}]),
        "entry 1: known_id: '٣'",
    ),
    "known: relation of a list": (f"{FACTS}.json", json.dumps([ROSE | {"prompt": 5}]), "entry 1: prompt: 5"),
    "counterfact: no rewrite": (
        f"{FACTS}.json",
        '[{"requested_rewrite": 5}]',
        "entry 1: 'requested_rewrite.",
    ),
    "counterfact: long case": (
        f"{FACTS}.json",
        json.dumps([{"case_id": 1.5, "requested_rewrite": REWRITE}]),
        "entry 1: case_id: 1.5 (expected: a whole number)",
    ),
    "LAMA: no answer": (f"{FACTS}.jsonl", lines(LAMA | {"obj_label": ""}), "line 1: obj_label: ''"),
    "LAMA: no slot": (f"{FACTS}.jsonl", lines(LAMA | {"template": "x"}), "1 of 1 templates left out"),
    "LAMA: template of a list": (
        f"{FACTS}.jsonl",
        lines(LAMA | {"template": ["[X]"]}),
        "line 1: template: ['[X",
    ),
    "templates of a number": (f"{FACTS}.yaml", category(templates=5, pairs=[]), "prompts: besides templates"),
    "pairs nowhere": (
        f"{FACTS}.yaml",
        "category: facts\ndescription: x\ntemplates: ['[X] is']\npairs: \"a\\0.jsonl\"\n",
        r"pairs: 'a\x00.jsonl' can be no file: embedded null byte",
    ),
    "folder in a file's place": (f"{FACTS}.yaml/x", "", "no prompts (expected: at least one CATEGORY"),
}
TEXTS = {
    "empty text": ("text.txt", "", "0 documents (expected: 3 or more, separated by blank lines)"),
    "text of blanks": ("text.txt", " \n\t\n", "0 documents"),
    "text of one line": ("text.txt", "x" * 2**21, "no blank line in lines 1 to 1"),
    "text of 100 MB on a line": ("text.txt", "a\n\nb\n\nc\n\n" + LONG, "line 7: more than 16,777,216 char"),
    "text with NUL": ("text.txt", "a\n\nb\0\n\nc\n", "line 3: NUL, which no text has"),
    "text with NUL later": ("text.txt", "a\n\n" * 500_000 + "b\0\n", "line 1000001: NUL, which no text has"),
    "text in UTF-16": ("text.txt", "a\n\nb\n\nc".encode("utf-16"), "line 1, byte 1 (0xff): not UTF-8"),
    "text in Latin-1": ("text.txt", "a\n\né\n\nc".encode("latin-1"), "line 3, byte 1 (0xe9): not UTF-8"),
    "text of bytes": ("text.txt", bytes(range(256)), "line 2, byte 118 (0x80): not UTF-8"),
    "text of records": ("text.txt", '{"text": "a"}\n' * 9, "line 1: JSON lines (expected: plain text"),
    "text of two documents": ("text.txt", "a\n\nb\n", "2 documents in lines 1 to 3 (expected: 3 or more"),
    "folder of texts": ("text.txt/x", "", "no file 'text.txt' (expected: a text file"),
    "tags: empty": ("tags.conllu", "", "no sentence in it (expected: CoNLL-U)"),
    "tags: no tags": ("tags.conllu", "Go home.\n", "sentence 1, line 1: 1 columns (expected: 10, bet"),
    "tags: nine columns": ("tags.conllu", "1\tGo\tgo\tVERB\t_\t_\t0\troot\t_\n", "line 1: 9 columns"),
    "tags: eleven columns": ("tags.conllu", f"{WORD.rstrip()}\tx\n", "line 1: 11 columns (expected: 10"),
    "tags: spaces": ("tags.conllu", WORD.replace("go", "go  on"), "line 1: two spaces in a row"),
    "tags: head of digits": (
        "tags.conllu",
        WORD.replace("\t0\t", f"\t{'9' * 5000}\t"),
        "line 1: a number of more",
    ),
    "tags: head beyond": ("tags.conllu", WORD.replace("\t0\t", "\t2\t"), "line 1: head 2 (expected: 0 to 1)"),
    "tags: head of nothing": ("tags.conllu", WORD.replace("\t0\t", "\tNaN\t"), "Failed parsing field 'head'"),
    "tags: number of a word": ("tags.conllu", WORD.replace("1", "2"), "line 1: word 2 (expected: word 1)"),
    "tags: long number": ("tags.conllu", WORD.replace("1", "9" * 5000), "line 1: a number of more digits"),
    "tags: no form": ("tags.conllu", WORD.replace("Go", ""), "line 1: a line without form"),
    "tags: NUL": ("tags.conllu", WORD.replace("Go", "G\0"), "line 1: NUL, which no text has"),
    "tags: in a circle": (
        "tags.conllu",
        "1\ta\ta\tX\t_\t_\t2\tdet\t_\t_\n2\tb\tb\tX\t_\t_\t1\tdet\t_\t_\n",
        "sentence 1, line 1: the heads of word 1 go in a circle",
    ),
    "tags: 100 MB on a line": ("tags.conllu", LONG, "line 1: more than 16,777,216 characters"),
    "tags: Latin-1": ("tags.conllu", WORD.replace("Go", "Gé").encode("latin-1"), "line 1, byte 4 (0xe9)"),
    "counts: empty": ("counts.tsv", "", "columns 'none' (expected: token_id, count, separated by tabs)"),
    "counts: others": ("counts.tsv", "id,count\n", "columns 'id,count' (expected: token_id, count"),
    "counts: twice": ("counts.tsv", COUNTS + "7\t1\n7\t2\n", "line 3: token_id 7 is in line 2 already"),
    "counts: half": ("counts.tsv", COUNTS + "7\n", "line 2: 1 cells (expected: 2, as in the header)"),
    "counts: text": ("counts.tsv", COUNTS + "a\t1\n", "line 2: token_id: 'a' (expected: a whole numb"),
    "counts: NaN": ("counts.tsv", COUNTS + "1\tnan\n", "line 2: count: 'nan' (expected: a whole numb"),
    "counts: infinite": ("counts.tsv", COUNTS + "1\tinf\n", "line 2: count: 'inf' (expected: a whole number"),
    "counts: below": ("counts.tsv", COUNTS + "1\t-1\n", "line 2: count: '-1' (expected: a whole numb"),
    "counts: share": ("counts.tsv", COUNTS + "1\t0.5\n", "line 2: count: '0.5' (expected: a whole number"),
    "counts: long": ("counts.tsv", COUNTS + f"1\t{'9' * 5000}\n", "line 2: count: '999"),
    "counts: nothing": ("counts.tsv", COUNTS + "1\t0\n", "no token occurs (expected: counts above 0)"),
    "counts: UTF-16": ("counts.tsv", COUNTS.encode("utf-16"), "line 1, byte 1 (0xff): not UTF-8"),
}
TABLES = {
    "figure that climbs": (DRAWN, figure("../x"), "'../x' does not match"),
    "figure of two lines": (DRAWN, figure("a\n"), r"'a\n' does not match"),
    "figure in another folder": (DRAWN, figure(folder="results/../x"), "x.folder: 'results/../x' does not"),
    "figure at the root": (DRAWN, figure(folder="/tmp"), "x.folder: '/tmp' does not match"),
    "figure of no figure": (DRAWN, "[]", "[] is not of type 'object'"),
    "figure without data": (DRAWN, figure(data={}), "x.data: {} should be non-empty"),
    "figure of data outside": (DRAWN, figure(data={"x": "../x.nc"}), "x.data.x: '../x.nc' does not match"),
    "figure of no function": (DRAWN, figure(draw="lens.draw_nothing"), "x: draw: no function 'draw_n"),
    "figure of no module": (DRAWN, figure(draw="lense.draw_commas"), "x: draw: no module 'lense' of"),
    "figure by attribute": (
        DRAWN,
        figure(labels={"figure": "{a.__class__}"}),
        "x: labels.figure: no wildcard 'a.__class__'",
    ),
    "figure by position": (DRAWN, figure(labels={"figure": "{}"}), "x: labels.figure: no wildcard ''"),
    "figure of open braces": (DRAWN, figure(labels={"figure": "{"}), "x: labels.figure: '{': Single '{'"),
    "figure of a key in a number": (DRAWN, figure(config={"a": "lens.top_k.x"}), "no key 'lens.top_k.x'"),
    "figure for each of a number": (DRAWN, figure(each={"a": "lens.top_k"}), "x: each: lens.top_k is"),
    "figure twice": (DRAWN, "x: 1\nx: 2\n", "line 2: not YAML: key 'x' occurs twice"),
    "figures of Python": (DRAWN, "x: !!python/name:os.system ''\n", "line 1: not YAML: could not determine"),
    "figures that laugh": (DRAWN, laughs(), "line 7: what its anchors stand for is more than a million"),
    "findings of nothing": (FOUND, "", "None is not of type 'object'"),
    "findings that lack": (FOUND, "traces: {}\n", "is missing"),
    "finding of another picture": (
        FOUND,
        claim(figure="results/../../x.png"),
        "x.figure: 'results/../../x.png'",
    ),
    "finding of no function": (FOUND, claim(statistic="traces.nothing"), "x: statistic: no function"),
    "finding of no module": (FOUND, claim(statistic="os.system"), "x: statistic: no module 'os' of s"),
    "finding of data outside": (FOUND, claim(data={"a": "/etc/x.nc"}), "x.data.a: '/etc/x.nc' does n"),
    "finding of another file": (FOUND, claim(data={"a": "results/{x}/y.nc"}), "x: data.a: no wildcard 'x'"),
    "finding above nothing": (
        FOUND,
        claim(holds={"above": NAN}).replace("NaN", ".nan"),
        "x.holds.above: nan is not",
    ),
    "finding between none": (FOUND, claim(holds={"between": [2, 1]}), "x: holds.between: [2, 1] is empty"),
    "finding above words": (FOUND, claim(holds={"above": "much"}), "x.holds.above: 'much' does not match"),
    "finding that leads nowhere": (FOUND, claim(lead="{y} of all"), "traces.lead: no wildcard 'y' (e"),
    "finding with a bad name": (FOUND, claim("../x"), "'../x' does not match"),
    "finding of a key in a number": (FOUND, claim(config={"a": "lens.top_k.x"}), "no key 'lens.top_k.x'"),
}
SECTIONS = {
    "no configuration": ("", "no sections in it"),
    "configuration of a list": ("[1]", "no sections in it"),
    "Python in the configuration": (
        "run: !!python/object/new:os.system [ls]\n",
        "line 1: not YAML: could not",
    ),
    "configuration that laughs": (laughs(), "line 7: what its anchors stand for is more than a milli"),
    "configuration inside of itself": ("run: &a {b: *a}\n", "line 1: the anchor 'a' stands inside of itself"),
    "configuration in UTF-16": ("run: [a]\n".encode("utf-16"), "line 1, byte 1 (0xff): not UTF-8"),
    "key twice": ("run: [a]\nrun: [b]\n", "line 2: not YAML: key 'run' occurs twice"),
    "escapes of a terminal": ("'\\e[31m': 1\n", r"unknown key '\\e[31m'"),
}
KEYS = [
    ("", "run", [["a"]], "run.0: ['a'] is not of type 'string'"),
    ("models", "../x", {}, "models: '../x' does not match"),
    ("models", "a/b", {}, "models: 'a/b' does not match"),
    ("models", "a\n", {}, "models: 'a\\n' does not match"),
    ("models", "a" * 200, {}, "at most 100 letters, digits, points, hyphens and underscores"),
    ("models", "models", {}, "models: is the name of something else in the results (expected: another name)"),
    ("organism.variants", "training", {"every_depth": 0}, "organism.variants: is the name of something else"),
    ("organism.variants", "../x", {"every_depth": 0}, "organism.variants: '../x' does not match"),
    ("models.organism", "source", "~nobody-of-this-name/x", "source: '~nobody-of-this-name/x' can be"),
    ("models.organism", "source", "/a\x00b", "models.organism.source: '/a\\x00b'"),
    ("models.organism", "source", "/" + "a" * 5000, "can be no file: File name too long"),
    ("models.organism", "source", "a" * 5000 + ".gguf", "can be no file: File name too long"),
    ("models.organism", "revision", "../../x", "models.organism.revision: '../../x' does not match"),
    ("models.organism", "device", "cpu\n", "models.organism.device: 'cpu\\n' does not match"),
    ("models.organism", "lenses", {"tuned": "a\x00b"}, "models.organism.lenses.tuned: 'a\\x00b' can"),
    ("average", "order", ["../x"], "average.order.0: '../x' does not match"),
    ("lens.grid", "prompts", ["../x"], "lens.grid.prompts.0: '../x' does not match"),
    ("lens", "explorer", ["a/b"], "lens.explorer.0: 'a/b' does not match"),
    ("trace", "shown", ["a\n"], "trace.shown.0: 'a\\n' does not match"),
    ("trace", "samples", 3.0, "trace.samples: 3.0 is not of type 'integer' (expected: a whole number from 1"),
    ("trace", "samples", 10**30, "trace.samples: 1000000000000000000000000000000 is greater than the"),
    ("trace", "samples", NAN, "trace.samples: nan is not of type 'integer'"),
    ("trace", "seed", -1, "trace.seed: -1 is less than the minimum of 0"),
    ("trace", "seed", 2**40, "trace.seed: 1099511627776 is greater than the maximum of 4294967295"),
    ("trace.noise", "relative", [INF], "trace.noise.relative.0: inf is not of type 'number'"),
    ("average", "interval", NAN, "average.interval: nan is not of type 'number'"),
    ("average", "interval", 1, "average.interval: 1 is greater than or equal to the maximum of 1"),
    ("average", "min_gap", -0.5, "average.min_gap: -0.5 is less than or equal to the minimum of 0"),
    ("hidden", "pooled", [], "hidden.pooled: [] is not of type 'object'"),
    ("hidden.pooled", "a\x1b[31m", ["semantic"], "hidden.pooled: 'a\\x1b[31m' does not match"),
    ("lens.mixing", "shares", [1.5], "lens.mixing.shares.0: 1.5 is greater than the maximum of 1"),
    ("lens.mixing", "horizon", True, "lens.mixing.horizon: True is not of type 'integer'"),
    ("figures", "dpi", 0, "figures.dpi: 0 is less than the minimum of 20"),
    ("figures", "width", 0, "figures.width: 0 is less than or equal to the minimum of 0"),
    ("prompts", "prefix_first", None, "prompts.prefix_first: None is not of type 'string'"),
    ("", "syntax", [], "syntax: [] is not of type 'object'"),
    ("embedding.experiments", "widths", [], "embedding.experiments.widths: [] should be non-empty"),
    ("organism.recipe", "learning_rate", "fast", "organism.recipe.learning_rate: 'fast' is not of ty"),
    ("organism.recipe", "vocab_size", 1000000, "organism.recipe.vocab_size: 1000000 is greater than"),
]

WELL = {
    f"{FACTS}.yaml": category(GOOD),
    "data/prompts/known.json": json.dumps([ROSE]),
    "data/prompts/counterfact.json": json.dumps([{"case_id": 1, "requested_rewrite": REWRITE}]),
    "data/prompts/lama.jsonl": lines(LAMA),
    "data/prompts/table.tsv": table("a", "b c", "b", " x", separator="\t"),
    DRAWN: figure(),
    FOUND: claim(),
    "text.txt": "a\n\nb\n\nc\n",
    "tags.conllu": WORD,
    "counts.tsv": COUNTS + "0\t7\n",
}
"""What is changed above, and other forms, as they should be."""
