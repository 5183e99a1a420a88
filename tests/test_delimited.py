"""Tables as people write them: how one is written is found out or told, and each table has one meaning."""
import warnings

import numpy as np
import pytest

from minnet.delimited import check_format, read_table
from minnet.errors import FileError, InvalidType, InvalidValue, MinnetError

ROWS = [(5.1, 3.5, "no"), (4.9, -3.0, "yes"), (1500.25, 0.0, "no")]
NAMES = ("length", "width", "kind")


def written(delimiter=",", decimal=".", header=True, quote=""):
    """ROWS as text."""
    lines = [[f"{quote}{name}{quote}" for name in NAMES]] * header
    lines += [[*(str(value).replace(".", decimal) for value in row[:2]), f"{quote}{row[2]}{quote}"] for row in ROWS]
    return "\n".join(delimiter.join(line) for line in lines) + "\n"


def read(tmp_path, text, target=None, encoding="utf-8", learnt=None, ask=True, wanted=None, **form):
    path = tmp_path / "f.csv"
    path.write_bytes(text.encode(encoding))
    return read_table(path, target, learnt, ask=ask, form=check_format(**form), wanted=wanted)


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("delimiter, decimal", [
    (",", "."), (";", "."), (";", ","), ("\t", "."), ("\t", ","), ("|", "."), ("|", ","), (" ", "."), (" ", ",")])
def test_found_out_or_told_a_table_is_the_same(tmp_path, delimiter, decimal, header, quote):
    text = written(delimiter, decimal, header, quote)
    for form in ({}, {"delimiter": delimiter, "decimal": decimal, "header": header}):
        table = read(tmp_path, text, **form)
        assert table.X.tolist() == [list(row[:2]) for row in ROWS] and table.y.tolist() == ["no", "yes", "no"]
        assert (table.names, table.target) == ((NAMES[:2], "kind") if header else (None, None))


@pytest.mark.parametrize("text, X, form", [
    ("  1   2 a\n 10 20  b\n", [[1, 2], [10, 20]], {}),
    ("1,5;2,5;0\n3,5;4,5;1\n", [[1.5, 2.5], [3.5, 4.5]], {}),
    ("a;b;c\n1;2;x\n3;4,5;y\n", [[1, 2], [3, 4.5]], {}),
    ("1990,1991,kind\n3,4,x\n5,6,y\n", [[3, 4], [5, 6]], {"header": True}),
    ("a,b,1\n3,4,1\n5,6,2\n", [[3, 4], [5, 6]], {"header": True}),
    ("1990,1991,kind\n3,4,x\n5,6,y\n", [[3, 4], [5, 6]], {"target": "kind"}),
    ("a,b,c\n3,4,x\n", [[3, 4]], {"delimiter": ","}),
    ("1#2#x\n3#4#y\n", [[1, 2], [3, 4]], {"delimiter": "#"}),
    ("1\t2\tx\n3\t4\ty\n", [[1, 2], [3, 4]], {"delimiter": "tab"}),
])
def test_odd_tables(tmp_path, text, X, form):
    assert read(tmp_path, text, **form).X.tolist() == X


@pytest.mark.parametrize("header", ["id,a,kind,note\n", ""])
@pytest.mark.parametrize("by", ["name", "number", "number from the right", "text"])
def test_ignored_columns_are_not_read(tmp_path, header, by):
    """Also where they hold text; the class is in the last column that is left."""
    ignore = {"name": ["id", "note"], "number": [0, 3], "number from the right": [-4, -1], "text": ["0", "3"]}[by]
    text = f"{header}r1,5,x,first\nr2,6,y,second\n"
    if by == "name" and not header:
        with pytest.raises(MinnetError, match="id"):
            read(tmp_path, text, ignore=ignore)
        return
    table = read(tmp_path, text, ignore=ignore)
    assert table.X.tolist() == [[5], [6]] and table.y.tolist() == ["x", "y"]
    assert table.names == (("a",) if header else None)


def test_columns_that_a_model_does_not_take_are_not_read(tmp_path):
    table = read(tmp_path, "id,b,a,kind\nr1,5,7,x\nr2,6,8,y\n", learnt="kind", wanted=("a", "b"))
    assert table.names == ("b", "a") and table.X.tolist() == [[5, 7], [6, 8]]


@pytest.mark.parametrize("cells, labels", [
    (["1", "-2"], [1, -2]), (["True", "False"], [True, False]), (["true", "False"], ["true", "False"]),
    (["9007199254740993", "9007199254740992"], [9007199254740993, 9007199254740992]),
    (["18446744073709551615", "1"], [2**64 - 1, 1]), (["18446744073709551615", "-1"], ["18446744073709551615", "-1"]),
    (["123456789012345678901234", "12345678901234567890123"], ["123456789012345678901234", "12345678901234567890123"]),
    (["9" * 5000, "1"], ["9" * 5000, "1"]), (["1.0", "2"], [1.0, 2.0]), (["c1", "2"], ["c1", "2"])])
def test_labels_are_what_the_file_has(tmp_path, cells, labels):
    found = read(tmp_path, "".join(f"{i},{cell}\n" for i, cell in enumerate(cells))).y
    assert found.tolist() == labels and [type(label) for label in found.tolist()] == [type(label) for label in labels]


def test_a_number_as_target_is_a_number_where_there_is_no_header(tmp_path):
    """A first cell that reads as the number of the column is no name, and the first line is a row."""
    for text in ("0,1.5,3\n1,2.5,4\n", "1,1.5,3\n0,2.5,4\n"):
        table = read(tmp_path, text, target="0")
        assert sorted(table.y.tolist()) == [0, 1] and len(table.X) == 2
    assert read(tmp_path, "a,0,b\n1,2,3\n", target="0").target == "0", "a name"


def test_an_index_is_warned_of(tmp_path):
    """A column without a name whose whole numbers differ, in any order; with a name or others it is a feature."""
    rows = ["2,0.5,x", "0,0.1,y", "1,0.7,x", "30,0.2,y"]
    for head, count in ((",a,kind", 1), ("Unnamed: 0,a,kind", 1), ("n,a,kind", 0)):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            read(tmp_path, "\n".join([head, *rows]))
            read(tmp_path, "\n".join([head, *rows, "30,0.2,y"]))
            read(tmp_path, "\n".join([head, *rows]), ignore=0)
        assert [str(one.message).endswith("--ignore 0 leaves it out") for one in seen] == [True] * count


@pytest.mark.parametrize("text", ["5.1,3.5,no\n4.9,3.0,yes\n1,2,no\n", "1,2,3\n4,5,6\n",
                                  "1,2,no\n" + "1,2,yes\n" * 40 + "1,2,no\n"])
def test_a_row_that_is_told_to_be_a_header_is_warned_of(tmp_path, text):
    with pytest.warns(UserWarning, match="looks like a row and is taken as the names .* --header no makes it a row"):
        table = read(tmp_path, text, header=True)
    assert len(table.X) == text.count("\n") - 1 and table.names == tuple(text.split(",")[:2])


REFUSED = {
    "a value as the target": ("5.1,setosa\n4.9,setosa\n", {"target": "setosa"}, FileError,
                              "no column 'setosa', for its first line is no header", "from 0 to 1", "--header yes"),
    "Latin-1": ("a,b,k\n1,2,é\n", {}, FileError, "no text in UTF-8", "--encoding latin-1"),
    "another comma": ("1,2,x\n" * 30 + '3,"4,5",y\n', {}, FileError, "line 31, column 2: '4,5'", "--ignore 1"),
    "a comma further down": ("1;2;x\n" * 30 + "3;4,5;y\n", {}, FileError, "line 31, column 2: '4,5'", "--decimal ,"),
    "points that separate thousands": ("1,5;2,5;1.500;x\n", {}, FileError, "'1.500'", "--decimal ."),
    "all ignored": ("1,2\n3,4\n", {"ignore": [0, 1]}, FileError, "leave one --ignore out"),
    "no feature": ("1,2\n3,4\n", {"ignore": 0}, FileError, "leave one --ignore out"),
    "ignored target": ("a,b\n1,2\n", {"ignore": "b", "target": "b"}, InvalidValue, "leave one of them out"),
    "an unknown column": ("a,b\n1,2\n", {"ignore": "id"}, InvalidValue, "unknown column", "choose from: a, b"),
    "a number too large": ("a,b\n1,2\n", {"ignore": 2}, InvalidValue, "ignore=2", "from -2 to 1"),
    "one cell": ("1#2\n", {}, FileError, "at least two columns", "--delimiter"),
    "another width": ("1,2,3\n1,2\n", {}, FileError, "line 2 has 2 columns", "--delimiter"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_told_in_one_line_with_the_way_out(tmp_path, name):
    text, form, error, *words = REFUSED[name]
    with pytest.raises(error) as caught:
        read(tmp_path, text, **{"encoding": "latin-1"} if name == "Latin-1" else {}, **form)
    message = str(caught.value)
    assert message.isprintable() and all(word in message for word in words), message


@pytest.mark.parametrize("form, error", [
    ({"delimiter": ",,"}, InvalidValue), ({"delimiter": '"'}, InvalidValue), ({"delimiter": "x"}, InvalidValue),
    ({"delimiter": ""}, InvalidValue), ({"header": "yes"}, InvalidType), ({"decimal": "x"}, InvalidValue),
    ({"decimal": ",", "delimiter": ","}, InvalidValue), ({"encoding": "latin-99"}, InvalidValue),
    ({"encoding": "hex"}, InvalidValue), ({"encoding": "a\0b"}, InvalidValue), ({"encoding": 3}, InvalidValue),
    ({"ignore": [None]}, InvalidType), ({"ignore": [True]}, InvalidType)])
def test_a_format_that_is_none_is_refused(form, error):
    with pytest.raises(error):
        check_format(**form)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-8-sig"])
def test_an_encoding_is_taken_as_told(tmp_path, encoding):
    path = tmp_path / "f.csv"
    path.write_bytes("größe,b,art\n1,2,é\n3,4,ü\n".encode(encoding))
    table = read_table(path, form=check_format(encoding=encoding))
    assert table.names == ("größe", "b") and np.array_equal(table.y, ["é", "ü"])
