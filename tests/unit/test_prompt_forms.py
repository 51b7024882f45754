"""Prompts in forms of others: ROME's two, and templates as LAMA and ParaRel have."""

import json
from pathlib import Path

import pytest
from test_prompt_formats import SCHEMA, json_lines, prompts_of, refused, table

from strata.inputs import BadInput
from strata.text.prompt_files import read_prompt_files
from strata.text.prompt_formats import read_prompt_file

ROSE = {
    "known_id": 7,
    "subject": "Rose Tower",
    "attribute": "Aland",
    "template": "{} is located in",
    "prediction": " Aland. It is",
    "prompt": "Rose Tower is located in",
    "relation_id": "P30",
}
MIRA = {
    "case_id": 12,
    "pararel_idx": 3,
    "requested_rewrite": {
        "prompt": "The mother tongue of {} is",
        "relation_id": "P103",
        "target_new": {"str": "English", "id": "Q1"},
        "target_true": {"str": "French", "id": "Q2"},
        "subject": "Mira Stone",
    },
    "paraphrase_prompts": ["They said so. Mira Stone spoke the language"],
}


def rewrite(**changes) -> list[dict]:
    return [MIRA | {"requested_rewrite": MIRA["requested_rewrite"] | changes}]


# ROME ---------------------------------------------------------------------------------------


def test_the_known_form(tmp_path):
    assert prompts_of(tmp_path, "known_1000.json", [ROSE]) == [
        {
            "id": "known-7",
            "text": "Rose Tower is located in",
            "subject": "Rose Tower",
            "target": " Aland",
            "fact": "p30-rose-tower",
        }
    ]


def test_counterfact(tmp_path):
    (prompt,) = prompts_of(tmp_path, "counterfact.json", [MIRA])
    assert prompt == {
        "id": "case-12",
        "text": "The mother tongue of Mira Stone is",
        "subject": "Mira Stone",
        "target": " French",
        "fact": "p103-mira-stone",
    }


def test_forms_of_others_are_read_in_every_format_of_entries(tmp_path):
    (wanted,) = prompts_of(tmp_path, "known.json", [ROSE])
    (tmp_path / "known.json").unlink()
    for name, text in {
        "known.jsonl": json_lines([ROSE]),
        "known.csv": table([ROSE], ","),
        "known.tsv": table([ROSE], "\t"),
    }.items():
        assert prompts_of(tmp_path, name, text) == [wanted]
        (tmp_path / name).unlink()


def test_the_template_tells_which_occurrence_of_its_subject_is_meant(tmp_path):
    template = "Rose in the song of Rose, {}, is Rose to"
    texts = {"template": template, "prompt": template.replace("{}", "Rose"), "subject": "Rose"}
    (prompt,) = prompts_of(tmp_path, "known.json", [ROSE | texts])
    assert prompt["occurrence"] == 3
    (tmp_path / "known.json").unlink()
    (prompt,) = prompts_of(tmp_path, "counterfact.json", rewrite(prompt="Mira Stone and {} are"))
    assert prompt["occurrence"] == 2


def test_a_known_prompt_goes_on_where_its_template_ends(tmp_path):
    """It goes on with words of GPT-2 XL, which may name the subject again."""
    rows = [
        ROSE | {"prompt": "Rose Tower is located in the country of"},
        ROSE | {"known_id": 8, "prompt": "Rose Tower is located in the Rose Tower of"},
        ROSE | {"known_id": 9, "template": "In {}", "prompt": "Rose Tower is located in the north of"},
    ]
    prompts = prompts_of(tmp_path, "known.json", rows)
    assert [prompt["text"] for prompt in prompts] == [row["prompt"] for row in rows]
    assert [prompt.get("occurrence") for prompt in prompts] == [None, 1, None]


def test_without_a_template_the_occurrence_is_to_be_said(tmp_path):
    rows = [{"subject": "no", "attribute": "one", "prompt": "no no said", "known_id": 1}]
    assert refused(tmp_path, "known.json", rows).startswith("prompt 'known-1': subject: 'no' occurs 2 times")
    (prompt,) = prompts_of(tmp_path, "known.json", [rows[0] | {"occurrence": 2}])
    assert prompt["occurrence"] == 2


def test_entries_without_number_or_relation_are_named_by_their_file(tmp_path):
    rows = [{key: ROSE[key] for key in ("subject", "attribute", "prompt")}]
    (prompt,) = prompts_of(tmp_path, "my_facts.json", rows)
    assert prompt["id"] == "my-facts-1" and prompt["fact"] == "my-facts-rose-tower"


def test_facts_are_of_one_subject_however_it_is_spelled(tmp_path):
    names = ["Rose", "ROSE", "R\u00f3se", "\u6771\u4eac", "\u5927\u962a", "Rose"]
    rows = [
        MIRA | {"case_id": n, "requested_rewrite": MIRA["requested_rewrite"] | {"subject": s, "prompt": p}}
        for n, (s, p) in enumerate(zip(names, [*["I knew {} in"] * 5, "So {} is"], strict=True))
    ]
    facts = [prompt["fact"] for prompt in prompts_of(tmp_path, "counterfact.json", rows)]
    assert len(set(facts[:5])) == 5 and facts[5] == facts[0] == "p103-rose"


def test_repeats_and_spaces_at_the_end_are_mended_and_said(tmp_path):
    spaced = ROSE | {"known_id": 9, "prompt": "In Rose Tower  ", "template": "In {}  "}
    rows = [ROSE, ROSE | {"known_id": 8}, spaced]
    remarks = [
        "known.json: 1 prompt left out, being there already (first: entry 2)",
        "known.json: 1 prompt cut at the end of the text, where a space was: it begins the target "
        "(first: entry 3)",
    ]
    first, last = prompts_of(tmp_path, "known.json", rows, remarks)
    assert first["id"] == "known-7" and last["text"] == "In Rose Tower"


REFUSED = {
    "no attribute": ([ROSE, ROSE | {"attribute": None}], "entry 2: 'attribute' is missing"),
    "empty": ([ROSE | {"subject": " "}], "entry 1: subject: ' ' (expected: text)"),
    "number": ([ROSE | {"attribute": 159}], "entry 1: attribute: 159 (expected: text)"),
    "name": ([ROSE | {"known_id": "7b"}], "entry 1: known_id: '7b' (expected: a whole number)"),
    "another prompt": (
        [ROSE | {"prompt": "It is"}],
        "prompt 'known-7': subject: 'Rose Tower' does not occur",
    ),
    "same id": ([ROSE, ROSE | {"attribute": "x"}], "prompt 'known-7': id is used already in"),
    "same id of another": ([ROSE | {"known_id": True}], "entry 1: known_id: True (expected: a whole number)"),
    "no target": (
        rewrite(target_true={"id": "Q2"}),
        "entry 1: 'requested_rewrite.target_true.str' is missing",
    ),
    "flat target": (rewrite(target_true="French"), "entry 1: 'requested_rewrite.target_true.str' is missing"),
    "two slots": (
        rewrite(prompt="{} {} is"),
        "entry 1: requested_rewrite.prompt: '{} {} is' (expected: {} once",
    ),
    "no slot": (
        rewrite(prompt="Her tongue is"),
        "entry 1: requested_rewrite.prompt: 'Her tongue is' (expected:",
    ),
    "a space around": (rewrite(subject="Mira "), "entry 1: subject: 'Mira ' (expected: no space around it)"),
    "of two forms": ([MIRA, ROSE], "entry 2: 'requested_rewrite.prompt' is missing"),
    "no object": ([MIRA, 5], "entry 2: 5 (expected: fields with names)"),
    "overlap": (
        rewrite(subject="aa", prompt="a{} is"),
        "entry 1: subject: 'aa' overlaps with itself in 'aaa is'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_in_a_form_of_others_is_one_line(tmp_path, case):
    rows, expected = REFUSED[case]
    assert refused(tmp_path, "known.json", rows).startswith(expected)


# Templates ----------------------------------------------------------------------------------

PAIRS = [{"sub_label": "Peru", "obj_label": "Lima"}, {"sub_label": "Kenya", "obj_label": "Nairobi"}]


def asked(prompts: list[dict]) -> list[tuple[str, str, str]]:
    return [(prompt["text"], prompt["subject"], prompt["target"]) for prompt in prompts]


def test_lines_with_a_template_each(tmp_path):
    rows = [pair | {"template": "The capital of [X] is [Y] ."} for pair in PAIRS]
    prompts = prompts_of(tmp_path, "capitals.jsonl", json_lines(rows))
    assert asked(prompts) == [
        ("The capital of Peru is", "Peru", " Lima"),
        ("The capital of Kenya is", "Kenya", " Nairobi"),
    ]
    assert [(p["id"], p["fact"]) for p in prompts] == [
        ("capitals-peru-1", "capitals-peru"),
        ("capitals-kenya-1", "capitals-kenya"),
    ]


@pytest.mark.parametrize(
    ("template", "text", "target"),
    [
        ("[X] has its capital in [Y].", "Peru has its capital in", " Lima"),
        ("The capital of [X] is", "The capital of Peru is", " Lima"),
        ("The capital of [X] is ", "The capital of Peru is", " Lima"),
        ("Peru! The capital ([X]): ([Y])!", "Peru! The capital (Peru): (", "Lima"),
        ("[X]: [Y]\n", "Peru:", " Lima"),
    ],
)
def test_the_answer_is_asked_for_where_it_stands_in_the_template(tmp_path, template, text, target):
    (prompt,) = prompts_of(tmp_path, "capitals.json", [PAIRS[0] | {"template": template}])
    assert asked([prompt]) == [(text, "Peru", target)]
    assert prompt.get("occurrence") == (2 if template.startswith("Peru") else None)


@pytest.mark.parametrize(
    "template",
    ["[Y] is the capital of [X].", "[X], where [Y] is the capital", "It is [Y]", "[X] or [X] is [Y]"],
)
def test_templates_that_do_not_end_in_the_answer_are_left_out_and_said(tmp_path, template):
    rows = [PAIRS[0] | {"template": t} for t in ("In [X] is [Y]", template)]
    what = f"(expected: [X] once, before [Y]; [Y] at the end); the first: {template!r}"
    said = f"capitals.json: 1 of 2 templates left out {what}"
    assert len(prompts_of(tmp_path, "capitals.json", rows, [said])) == 1
    assert refused(tmp_path, "capitals.json", rows[1:]) == f"1 of 1 templates left out {what}"


def category(**parts) -> str:
    return json.dumps({"category": "capitals", "description": "Some."} | parts)


def test_a_category_of_pairs_and_templates(tmp_path):
    """Each pair in each template; what it names is known, to be what curation depends on."""
    (tmp_path / "lama").mkdir()
    (tmp_path / "pararel").mkdir()
    (tmp_path / "lama/P36.jsonl").write_text(
        json_lines([p | {"predicate_id": "P36", "uuid": "x"} for p in PAIRS])
    )
    patterns = ["[X]'s capital is [Y].", "[Y] rules [X].", "In [X] it is [Y]."]
    (tmp_path / "pararel/P36.jsonl").write_text(json_lines([{"pattern": p, "tense": "x"} for p in patterns]))
    named = category(
        templates="pararel/P36.jsonl", pairs="lama/P36.jsonl", completion_sets={"all": [" Lima"]}
    )
    (tmp_path / "capitals.yaml").write_text(named)
    read = read_prompt_files(tmp_path, SCHEMA)
    assert read.named == [f"{tmp_path}/lama/P36.jsonl", f"{tmp_path}/pararel/P36.jsonl"]
    assert read.remarks == [
        f"{tmp_path}/pararel/P36.jsonl: 1 of 3 templates left out "
        "(expected: [X] once, before [Y]; [Y] at the end); the first: '[Y] rules [X].'"
    ]
    (content,) = read.categories.values()
    assert content == read_prompt_file(tmp_path / "capitals.yaml").content
    assert content["completion_sets"] == {"all": [" Lima"]} and content["description"] == "Some."
    assert [(p["id"], p["fact"], p["text"]) for p in content["prompts"]] == [
        ("capitals-peru-1", "p36-peru", "Peru's capital is"),
        ("capitals-peru-2", "p36-peru", "In Peru it is"),
        ("capitals-kenya-1", "p36-kenya", "Kenya's capital is"),
        ("capitals-kenya-2", "p36-kenya", "In Kenya it is"),
    ]


def test_lists_in_the_category_itself(tmp_path):
    pairs = [{"subject": "Peru", "target": "Lima"}, {"subject": "Peru", "target": " Cusco"}]
    text = category(templates=["In [X] it is"], pairs=pairs)
    prompts = prompts_of(tmp_path, "capitals.yaml", text)
    assert asked(prompts) == [("In Peru it is", "Peru", " Lima"), ("In Peru it is", "Peru", " Cusco")]
    assert [prompt["id"] for prompt in prompts] == ["capitals-peru-1", "capitals-peru-2"]


def test_templates_of_many_relations_serve_each_its_own(tmp_path):
    """Of two relations with the same template, and with a relation whose template is of no use here."""
    (tmp_path / "lama").mkdir()
    relations = [
        {"relation": "P36", "template": "The capital of [X] is [Y] .", "type": "1-1"},
        {"relation": "P17", "template": "[X] is located in [Y] ."},
        {"relation": "P30", "template": "[X] is located in [Y] ."},
        {"relation": "P190", "template": "[X] and [Y] are twin cities ."},
    ]
    (tmp_path / "lama/relations.jsonl").write_text(json_lines(relations))
    pairs = [
        PAIRS[0] | {"predicate_id": "P36"},
        {"sub_label": "Peru", "obj_label": "Asia", "predicate_id": "P17"},
    ]
    (tmp_path / "lama/pairs.json").write_text(json.dumps(pairs))
    text = category(templates="lama/relations.jsonl", pairs="lama/pairs.json")
    prompts = prompts_of(tmp_path, "capitals.yaml", text)
    assert [(p["text"], p["fact"]) for p in prompts] == [
        ("The capital of Peru is", "p36-peru"),
        ("Peru is located in", "p17-peru"),
    ]
    (tmp_path / "lama/pairs.json").write_text(json.dumps([PAIRS[0] | {"predicate_id": "P1"}]))
    with pytest.raises(
        BadInput, match=r"lama/pairs.json: entry 1: no template of its relation, 'P1', that can"
    ):
        prompts_of(tmp_path, "capitals.yaml", text)


def test_the_relation_of_pairs_is_their_files_name_where_they_do_not_say(tmp_path):
    (tmp_path / "lama").mkdir()
    relations = [{"relation": f"P3{n}", "template": f"{n} [X] is [Y] ."} for n in (6, 7)]
    (tmp_path / "lama/relations.jsonl").write_text(json_lines(relations))
    (tmp_path / "lama/P37.jsonl").write_text(json_lines(PAIRS))
    text = category(templates="lama/relations.jsonl", pairs="lama/P37.jsonl")
    prompts = prompts_of(tmp_path, "capitals.yaml", text)
    assert [(p["text"], p["fact"]) for p in prompts] == [
        ("7 Peru is", "p37-peru"),
        ("7 Kenya is", "p37-kenya"),
    ]


ONE = ["In [X] it is"]
CATEGORY_REFUSED = {
    "no pairs": (category(templates=ONE), "'pairs' is missing (expected: templates and pairs)"),
    "no templates": (category(pairs=PAIRS), "'templates' is missing (expected: templates and pairs)"),
    "prompts too": (category(templates=ONE, pairs=PAIRS, prompts=[]), "prompts: besides templates and pairs"),
    "empty": (category(templates=[], pairs=PAIRS), "templates: [] (expected: the name of a file, or a list)"),
    "a text file": (
        category(templates=ONE, pairs="a/b.txt"),
        "pairs: 'a/b.txt' (expected: a file in .json, .jsonl",
    ),
    "a number": (category(templates=[5], pairs=PAIRS), "templates: number 1: pattern: 5 (expected: text)"),
    "a list": (
        category(templates=ONE, pairs=[["Peru", "Lima"]]),
        "pairs: number 1: ['Peru', 'Lima'] (expected:",
    ),
    "no answer": (
        category(templates=ONE, pairs=[{"subject": "Peru"}]),
        "pairs: number 1: 'target' is missing",
    ),
    "unknown key": (category(templates=ONE, pairs=PAIRS, other=1), "unknown key 'other'"),
}


@pytest.mark.parametrize("case", CATEGORY_REFUSED)
def test_what_is_wrong_in_a_category_of_templates_is_one_line(tmp_path, case):
    text, expected = CATEGORY_REFUSED[case]
    assert refused(tmp_path, "capitals.yaml", text).startswith(expected)


def test_pairs_or_patterns_alone_are_told_where_they_belong(tmp_path):
    for rows, missing in ((PAIRS, "template"), ([{"pattern": "In [X] it is [Y]"}], "sub_label")):
        said = refused(tmp_path, "p36.jsonl", json_lines(rows))
        assert said.startswith(
            f"line 1: '{missing}' is missing (expected: sub_label, obj_label and template; or"
        )


def test_a_file_that_is_named_and_not_there_is_said(tmp_path):
    path: Path = tmp_path / "capitals.yaml"
    path.write_text(category(templates=ONE, pairs="lama/P36.jsonl"))
    with pytest.raises(BadInput, match=r"lama/P36.jsonl: cannot be read: No such file or directory"):
        read_prompt_files(tmp_path, SCHEMA)
