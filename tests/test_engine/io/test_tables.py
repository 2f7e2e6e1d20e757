"""Tables as text, and what is said about those that are damaged."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_engine.errors import AnnotationFileError, ExportError
from lens_engine.io.tables import SHOWN_CHARACTERS, ColumnReader, TextTable, read_text_table, write_text_table

COLUMNS = ("name", "size", "place")


def table_of(folder: Path, *rows: str, header: str = "name,size,place", encoding: str = "utf-8") -> TextTable:
    (folder / "table.csv").write_text("\n".join([header, *rows, ""]), encoding=encoding, newline="")
    return read_text_table(folder / "table.csv", COLUMNS)


def test_cells_stay_the_text_they_are(tmp_path: Path) -> None:
    table = table_of(tmp_path, '007,1e3,"1, 2"', "NA,nan,", 'None,True,"say ""no"""')
    assert table.cells == {
        "name": ["007", "NA", "None"],
        "size": ["1e3", "nan", "True"],
        "place": ["1, 2", "", 'say "no"'],
    }
    assert (table.lines, table.broken) == ((2, 3, 4), {})


def test_columns_are_found_by_name_wherever_they_stand(tmp_path: Path) -> None:
    table = table_of(tmp_path, "1,2,3,4", header='place,other,"size", name ')
    assert table.cells == {"name": ["4"], "size": ["3"], "place": ["1"]}


@given(st.lists(st.text('a1,," \t;\x00\x0b\u2028é', max_size=12), max_size=6))
def test_a_line_is_read_as_the_csv_module_reads_it_alone_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    table = table_of(tmp_path_factory.mktemp("table"), *lines)
    rows = dict(zip(table.lines, zip(*table.cells.values(), strict=True), strict=True))
    for number, line in enumerate(lines, start=2):
        cells = tuple(next(csv.reader([line]), ()))
        assert rows.get(number, cells) == cells
        assert (number in rows) + (number in table.broken) == bool(line.strip())
        if '"' not in line:
            assert (number in rows) == (len(cells) == len(COLUMNS))


def test_blank_lines_are_no_rows_but_count(tmp_path: Path) -> None:
    table = table_of(tmp_path, "", "a,1,2", "  ", "b,3,4", "")
    assert table.lines == (3, 5)


@pytest.mark.parametrize("ending", ["\r\n", "\r", "\n"])
def test_lines_of_every_system_and_a_byte_order_mark_are_read(tmp_path: Path, ending: str) -> None:
    content = ending.join(["name,size,place", "ä,1,2", "b,3,4"])
    (tmp_path / "table.csv").write_text(content, encoding="utf-8-sig", newline="")
    table = read_text_table(tmp_path / "table.csv", COLUMNS)
    assert (table.lines, table.cells["name"], table.cells["place"]) == ((2, 3), ["ä", "b"], ["2", "4"])


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("a,1", "it has 2 cells instead of 3"),
        ("a,1,2,3", "it has 4 cells instead of 3"),
        ("a,1,2,", "it has 4 cells instead of 3"),
        ('a,1,"2', "a quotation mark in it is not closed"),
        ('a,1,"2" mm', "or stands inside a cell"),
        ('a,5",2', "or stands inside a cell"),
        ('a"b,"c,2', "or stands inside a cell"),
    ],
)
def test_a_line_that_is_no_row_is_named_and_the_others_are_read(tmp_path: Path, row: str, what: str) -> None:
    table = table_of(tmp_path, "a,1,2", row, 'b,3,"4"')
    assert (table.lines, table.cells["place"]) == ((2, 4), ["2", "4"])
    assert list(table.broken) == [3]
    assert what in table.broken[3]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("name,size", r"table\.csv has the columns name, size; missing are place\."),
        ("name;size;place", r"has the columns name;size;place; missing are name, size, place\. .* separated by commas"),
        ("name,size,place,size", "has two columns of the name size"),
        ('name,"size,place', "has a broken header: 'name,\"size,place'"),
        ("x" * 5000, f"has the columns {'x' * 10 * SHOWN_CHARACTERS}…; missing"),
    ],
)
def test_another_header_is_refused_with_what_is_missing(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(AnnotationFileError, match=message):
        table_of(tmp_path, "1,2,3", header=header)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"table\.csv is empty"),
        (b"\n \n", r"table\.csv is empty"),
        ("name,größe,place\n".encode("latin-1"), r"table\.csv is not a text table: its byte 8 is no UTF-8"),
        ("name,size,place\n".encode("utf-16"), "its byte 1 is no UTF-8.*save it as CSV in UTF-8"),
        (b"PK\x03\x04\xff\xfe", "is not a text table"),
        (b"\nname,size,place\n", "begins with an empty line"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(AnnotationFileError, match=message):
        read_text_table(tmp_path / "table.csv", COLUMNS)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnnotationFileError, match=r"table\.csv cannot be read: No such file"):
        read_text_table(tmp_path / "table.csv", COLUMNS)


def test_a_table_without_rows_has_empty_columns(tmp_path: Path) -> None:
    reader = ColumnReader(table_of(tmp_path))
    assert reader.whole_numbers("size").shape == (0,)
    assert reader.number_lists("place", 2).shape == (0, 2)
    assert (reader.problems, reader.is_sound.tolist()) == ({}, [])


def test_columns_become_numbers(tmp_path: Path) -> None:
    reader = ColumnReader(table_of(tmp_path, ' a ,007,"0.1, NaN"', 'b, -5 ,"1e3,2"'))
    assert reader.texts("name") == ["a", "b"]
    assert reader.whole_numbers("size").tolist() == [7, -5]
    np.testing.assert_array_equal(reader.number_lists("place", 2), [[0.1, np.nan], [1000, 2]])
    assert reader.is_sound.all()


@pytest.mark.parametrize(
    ("size", "place", "what"),
    [
        ("x", "1;2", "could not convert size 'x' to a whole number"),
        ("1.5", "1;2", "could not convert size '1.5' to a whole number"),
        ("9" * 30, "1;2", "could not convert size '999999999999999999999999999999' to a whole number"),
        ("", "1;2", "size is empty"),
        ("1", " ", "place is empty"),
        ("1", "1;2;3", "3 numbers instead of 2 in place '1,2,3'"),
        ("1", "1", "1 number instead of 2 in place '1'"),
        ("1", "1;two", "could not convert place '1,two' to 2 numbers"),
        ("1", "1;", "could not convert place '1,' to 2 numbers"),
        ("1", "1;inf", "an infinite number in place '1,inf'"),
        ("1", "1;1e999", "an infinite number in place '1,1e999'"),
        ("x", "two", "could not convert size 'x' to a whole number"),
    ],
)
def test_the_first_bad_cell_of_a_row_is_named_with_its_column(tmp_path: Path, size: str, place: str, what: str) -> None:
    bad = f'bad,{size},"{place.replace(";", ",")}"'
    reader = ColumnReader(table_of(tmp_path, 'a,1,"2,3"', bad, 'b,4,"5,6"'))
    sizes, places = reader.whole_numbers("size"), reader.number_lists("place", 2)
    assert reader.problems == {3: what}
    sound = reader.is_sound
    assert (sizes[sound].tolist(), places[sound].tolist()) == ([1, 4], [[2, 3], [5, 6]])


def test_a_huge_cell_is_cut_in_the_message(tmp_path: Path) -> None:
    reader = ColumnReader(table_of(tmp_path, f"a,{'7x' * 200_000},2"))
    reader.whole_numbers("size")
    assert reader.problems == {2: f"could not convert size '{'7x' * (SHOWN_CHARACTERS // 2)}…' to a whole number"}


def test_problems_come_in_the_order_of_the_lines(tmp_path: Path) -> None:
    reader = ColumnReader(table_of(tmp_path, "a,1,2", "b,1", "c,x,2", "d,1,2"))
    reader.refuse(np.asarray([True, False, False]), lambda row: f"row {row}")
    reader.whole_numbers("size")
    assert list(reader.problems.items()) == [
        (2, "row 0"),
        (3, "it has 2 cells instead of 3"),
        (4, "could not convert size 'x' to a whole number"),
    ]
    assert reader.is_sound.tolist() == [False, False, True]


def test_a_written_table_is_read_as_it_was(tmp_path: Path) -> None:
    rows = [("a, b", "", 'say "no"'), ("NA", "007", "ä")]
    write_text_table(tmp_path / "below" / "table.csv", COLUMNS, rows)
    table = read_text_table(tmp_path / "below" / "table.csv", COLUMNS)
    assert list(zip(*table.cells.values(), strict=True)) == rows
    write_text_table(tmp_path / "table.csv", COLUMNS, [])
    assert (tmp_path / "table.csv").read_bytes() == b"name,size,place\n"


def test_a_table_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match=r"table\.csv cannot be written"):
        write_text_table(tmp_path / "file" / "table.csv", COLUMNS, [])


@pytest.mark.parametrize("cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "-", "-1 x"])
def test_a_text_that_a_spreadsheet_would_compute_stays_a_text(cell: str, tmp_path: Path) -> None:
    write_text_table(tmp_path / "table.csv", COLUMNS, [(cell, "-5", "-175, 275")])
    table = read_text_table(tmp_path / "table.csv", COLUMNS)
    assert list(zip(*table.cells.values(), strict=True)) == [(f"'{cell}", "-5", "-175, 275")]
