"""Tests of tables: every cell is in its place in all formats, whatever characters it has."""

import re

import pytest

from pose_tf.evaluation.tables import Table, as_latex, as_markdown, as_text, latex

TABLE = Table(("", "A_1", "50 %"), (("one & two", "1.0", "-"), ("  a|b", "22.5", "100.0")))


def test_text_is_aligned():
    lines = as_text(TABLE).splitlines()
    assert [line.split() for line in lines] == [
        ["A_1", "50", "%"],
        ["one", "&", "two", "1.0", "-"],
        ["a|b", "22.5", "100.0"],
    ]
    assert len({len(line) for line in lines}) == 1
    assert lines[2].startswith("  a|b") and lines[1].index("1.0") + 3 == lines[2].index("22.5") + 4


def test_markdown_has_the_same_cells_when_it_is_read_back():
    lines = [re.split(r"(?<!\\)\|", line) for line in as_markdown(TABLE).splitlines()]
    assert all(line[0] == line[-1] == "" for line in lines)
    header, rule, *rows = ([cell.strip() for cell in line[1:-1]] for line in lines)
    assert header == ["", "A_1", "50 %"]
    assert rule == ["---", "---:", "---:"]
    assert rows == [["one & two", "1.0", "-"], [r"a\|b", "22.5", "100.0"]]


def test_latex_has_as_many_cells_as_columns_and_the_rules_of_booktabs():
    lines = as_latex(TABLE).splitlines()
    assert lines[0] == r"\begin{tabular}{lrr}" and lines[-1] == r"\end{tabular}"
    assert [lines[i] for i in (1, 3, -2)] == [r"\toprule", r"\midrule", r"\bottomrule"]
    rows = [lines[2], *lines[4:-2]]
    assert all(row.endswith(r" \\") for row in rows)
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)&", row.removesuffix(r" \\"))] for row in rows]
    assert cells == [["", r"A\_1", r"50 \%"], [r"one \& two", "1.0", "-"], [r"\quad a|b", "22.5", "100.0"]]


@pytest.mark.parametrize("character", list("&%$#_{}"))
def test_latex_escapes_each_special_character_once(character):
    assert latex(f"a{character}b") == f"a\\{character}b"


def test_latex_escapes_characters_that_need_a_command():
    assert latex("\\~^") == r"\textbackslash{}\textasciitilde{}\textasciicircum{}"


def test_rows_of_another_length_are_no_table():
    with pytest.raises(ValueError):
        as_text(Table(("", "A"), (("one", "1", "2"),)))
