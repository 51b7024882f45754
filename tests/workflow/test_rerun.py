"""Change one thing: exactly what it touches is made again."""

import json
import shutil
from collections.abc import Callable, Iterable
from functools import cache

import pytest
from reruns import JUDGED, MODULES, PROMPTS, SHOWN_IN_FINDINGS, TABLE
from small_project import EVERY_DEPTH, Plan

TARGETS = ("all", "organism")


def leaves(section: dict, prefix: str = "") -> list[str]:
    found = []
    for key, value in section.items():
        found += leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]
    return found


def test_nothing_to_do_after_a_run(project):
    assert project.planned(*TARGETS) == []


def test_every_key_of_the_config_is_in_the_table(project):
    # Models that are declared but not run are like the one that is, and touch nothing.
    keys = {
        k for k in leaves(project.read("config.yaml")) if not k.startswith("models.") or ".organism." in k
    }
    assert keys == set(TABLE)


def judged(rules: list[str]) -> list[str]:
    """What runs again: these rules, and the scorecard and its figures where these come of them."""
    again = {*rules, *(["judge_claims"] if JUDGED & set(rules) else [])}
    again |= {"draw_leads"} if {*JUDGED, *SHOWN_IN_FINDINGS} & again else set()
    return sorted(
        {*again, *(["write_front"] if {"judge_claims", "curate_prompts", "draw_leads"} & again else [])}
    )


def plan_with_key(project, key: str) -> Plan:
    value, _ = TABLE[key]
    changed = project.config_with(key, value)
    assert changed != project.read("config.yaml")
    with project.changed("config.yaml", changed):
        return project.plan(*TARGETS)


def plan_with_module(project, module: str) -> Plan:
    path = f"workflow/scripts/{module}.py"
    with project.changed(path, (project.folder / path).read_text() + "\n# edited\n"):
        return project.plan(*TARGETS)


def first_of_each(names: Iterable[str], kind: Callable[[str], str]) -> list:
    """For parameters: the names, of which all but the first of each kind are long, together."""
    seen, found = set(), []
    for name in names:
        found.append(pytest.param(name, marks=pytest.mark.long) if kind(name) in seen else name)
        seen.add(kind(name))
    return found


KEYS = first_of_each(TABLE, lambda key: key.partition(".")[0])
EDITED = first_of_each(MODULES, lambda module: module.rpartition("/")[0])


@pytest.fixture(scope="module")
def plan_of(project, tmp_path_factory):
    """A function that gives what a change would rerun: dry runs in a copy, one for each change."""
    copy = project.copy(tmp_path_factory.mktemp("copies") / "project")
    (copy.folder / "data/models/copy").symlink_to("organism")
    copy.write("data/sentences.conllu", "1\tGo\tgo\tVERB\t_\t_\t0\troot\t_\t_\n\n")
    copy.write("data/other.txt", "one two three\n\nfour five\n\nsix seven\n")
    yield cache(lambda change: (plan_with_key if change in TABLE else plan_with_module)(copy, change))
    copy.dry_runs.close()


@pytest.mark.parametrize("key", KEYS)
def test_a_changed_key_reruns_exactly_its_rules(plan_of, key):
    _, rules = TABLE[key]
    # What sub-blocks add is drawn, and nothing is judged by it.
    updates_only = key in ("lens.grid.decoders", "lens.grid.prompts")
    expected = rules if updates_only else judged(rules)
    # The report tells the whole configuration.
    assert sorted(plan_of(key).jobs) == sorted({*expected, "write_front"})


def test_a_variant_of_the_organism_is_trained_anew_alone(plan_of):
    for variant in ("organism", EVERY_DEPTH):
        assert set(plan_of(f"organism.variants.{variant}.every_depth").jobs.values()) == {1}


def test_a_declared_model_that_is_not_run_touches_nothing(project):
    with project.changed("config.yaml", project.config_with("models.gpt2.dtype", "float16")):
        assert project.planned(*TARGETS) == []


def test_a_new_prompt_reruns_what_depends_on_prompts_and_nothing_of_the_embeddings(project):
    file = "data/prompts/semantic.yaml"
    before = project.read(file)
    spain = {"id": "spain", "text": "The capital of Spain is", "subject": "Spain", "target": " Madrid"}
    with project.changed(file, before | {"prompts": [*before["prompts"], spain]}):
        assert project.planned(*TARGETS) == judged(PROMPTS)


def test_a_file_of_prompts_in_another_format_reruns_the_same(project):
    folder = project.folder / "data/prompts"
    pairs = [{"subject": "Spain", "target": "Madrid"}]
    named = {
        "category": "named",
        "description": "For tests.",
        "templates": ["In [X] it is"],
        "pairs": "of/it.json",
    }
    files = {
        "more.csv": "id,text,subject,target\nspain,The capital of Spain is,Spain, Madrid\n",
        "named.yaml": json.dumps(named),
    }
    (folder / "of").mkdir()
    (folder / "of/it.json").write_text(json.dumps(pairs))
    try:
        for name, content in files.items():
            (folder / name).write_text(content)
            assert project.planned(*TARGETS) == judged(PROMPTS)
            (folder / name).unlink()
    finally:
        shutil.rmtree(folder / "of")


@pytest.mark.parametrize("module", EDITED)
def test_an_edited_module_reruns_the_rules_that_depend_on_it(plan_of, module):
    assert sorted(plan_of(module).jobs) == judged(MODULES[module])


def test_a_caption_or_a_label_redraws_nothing(project):
    table = project.read("workflow/figures.yaml")
    table["lens_commas"]["labels"]["figure"] = "three commas"
    with project.changed("workflow/figures.yaml", table):
        assert project.planned(*TARGETS) == []


@pytest.mark.parametrize("key", KEYS)
def test_what_a_changed_key_reruns_fits_on_a_page(plan_of, key):
    plan = plan_of(key)
    # A key of the model itself reruns nearly every rule, and each takes a line.
    assert plan.lines <= max(60, len(plan.jobs) + 25)


def test_nothing_to_do_is_said_in_a_page(project):
    assert project.plan(*TARGETS).lines <= 60
