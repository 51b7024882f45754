"""Sentences of a CoNLL-U file, with their words' labels."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from conllu.exceptions import ParseException
from conllu.parser import DEFAULT_FIELDS, parse_line

from strata.inputs import TOO_MANY_DIGITS, BadInput, read_lines
from strata.text.words import Tagged, Word, roles


def read_conllu(lines: Iterable[str], file: str) -> Iterator[Tagged]:
    """The sentences of a CoNLL-U file, each a document: its forms, UPOS, DEPREL and HEAD columns.

    The text is put together from the forms, with a space after each but where MISC says
    ``SpaceAfter=No``. A multi-word token (``3-4``, "don't") is written as such and has no labels, since
    it would have several; empty nodes (``8.1``) are not written at all. Of a relation with a subtype
    (``nsubj:pass``) the part before the colon is kept.

    Parameters
    ----------
    lines : of the file
    file : its name, for messages

    Raises
    ------
    BadInput
        With the sentence and the line, if there is no such sentence.
    """
    number = 0
    for is_blank, block in groupby(enumerate(lines, 1), lambda numbered: not numbered[1].strip()):
        rows = [] if is_blank else [(n, line.rstrip("\r\n")) for n, line in block if line[0] != "#"]
        if rows:
            number += 1
            yield _conllu_sentence(rows, f"{file}: sentence {number}, line")
    if not number:
        raise BadInput(f"{file}: no sentence in it (expected: CoNLL-U)")


def check_conllu(path: str) -> None:
    """Read a whole CoNLL-U file for its mistakes.

    Raises
    ------
    BadInput
        See `read_conllu`.
    """
    for _ in read_conllu(read_lines(path), path):
        pass


def _conllu_sentence(rows: list[tuple[int, str]], where: str) -> Tagged:
    """A sentence of numbered lines; ``where`` begins a message that goes on with the line's number."""
    surface, nodes, within = [], [], 0
    for number, line in rows:
        node = _conllu_node(line, f"{where} {number}")
        match node["id"]:
            case int() as position:
                nodes.append((number, node))
                if position != len(nodes):
                    raise BadInput(f"{where} {number}: word {position} (expected: word {len(nodes)})")
                if position > within:
                    surface.append((node, position - 1))
            case (_, "-", last):
                within = last
                surface.append((node, None))
    if not nodes or within > len(nodes):
        raise BadInput(f"{where} {rows[-1][0]}: the sentence ends before its last word")
    for number, node in nodes:
        if not 0 <= node["head"] <= len(nodes):
            raise BadInput(f"{where} {number}: head {node['head']} (expected: 0 to {len(nodes)})")
    relations = [node["deprel"].split(":")[0] for _, node in nodes]
    try:
        phrase = roles(relations, [node["head"] - 1 for _, node in nodes])
    except ValueError as error:
        raise BadInput(f"{where} {rows[0][0]}: {error}") from error

    text, words = "", []
    for node, index in surface:
        end = len(text) + len(node["form"])
        labels = () if index is None else (node["upos"], relations[index], phrase[index])
        words.append(Word(len(text), end, *labels))
        glued = (node["misc"] or {}).get("SpaceAfter") == "No"
        text += node["form"] + ("" if glued else " ")
    return Tagged(text.removesuffix(" "), tuple(words))


def _conllu_node(line: str, where: str) -> Mapping:
    if (columns := line.count("\t") + 1) != len(DEFAULT_FIELDS):
        raise BadInput(f"{where}: {columns} columns (expected: {len(DEFAULT_FIELDS)}, between tabs)")
    if "  " in line:
        raise BadInput(f"{where}: two spaces in a row, which would part columns too (expected: one)")
    try:
        node = parse_line(line, DEFAULT_FIELDS)
    except ParseException as error:
        raise BadInput(f"{where}: {str(error):.160}") from error
    except ValueError as error:  # Python reads no longer numbers
        raise BadInput(f"{where}: {TOO_MANY_DIGITS}") from error
    if node["id"] is None or not node["form"]:
        raise BadInput(f"{where}: a line without {'id' if node['id'] is None else 'form'}")
    if isinstance(node["id"], int):
        for column in ("upos", "head", "deprel"):
            if node[column] in (None, "", "_"):
                raise BadInput(f"{where}: word {node['form']!r} has no {column.upper()}")
    return node
