"""Readers of data files: good files give their arrays; hostile ones one line, no traceback, no memory, no time."""

import gzip
import io
import re
import tracemalloc
import zipfile
import zlib
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minnet.data import load_data
from minnet.delimited import check_format, read_csv, read_table
from minnet.errors import FileError, InvalidValue, MinnetError, UnknownName
from minnet.readers import MOST_EXPANSION, SMALL_BYTES, read_idx, read_npz

MIB = 2**20


def refused(path, read, *words, error=FileError):
    """`read(path)` is refused in one printable line with the words and a hint, and with little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(error) as caught:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert isinstance(caught.value, MinnetError) and message.isprintable() and len(message) < 2000
    for word in words:
        assert word in message
    if error is FileError:
        assert message.startswith(str(path)) and message.endswith(")")
    assert peak < 16 * MIB + 4 * path.stat().st_size


# --- IDX --------------------------------------------------------------------------------------------------------------

def idx(array, code):
    head = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def idx_head(*shape, code=8):
    return bytes([0, 0, code, len(shape)]) + np.array(shape, ">u4").tobytes()


SMALL = idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4), 8)
PACKED = gzip.compress(SMALL, mtime=0)
CODES = {8: "u1", 9: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}


@given(st.data())
def test_an_idx_file_gives_its_array_packed_or_not(tmp_path_factory, data):
    code = data.draw(st.sampled_from(sorted(CODES)))
    array = data.draw(hnp.arrays(CODES[code], hnp.array_shapes(max_dims=4, min_side=0, max_side=4)))
    path = tmp_path_factory.getbasetemp() / data.draw(st.sampled_from(["a", "a.gz", "a.csv"]))
    content = idx(array, code)
    path.write_bytes(data.draw(st.sampled_from([content, gzip.compress(content)])))
    found = read_idx(path)
    assert found.dtype == array.dtype and found.dtype.isnative and found.shape == array.shape
    assert found.tobytes() == array.tobytes() and found.flags.writeable


def test_members_of_gzip_are_joined(tmp_path):
    (tmp_path / "f").write_bytes(gzip.compress(SMALL[:20]) + gzip.compress(SMALL[20:]))
    assert read_idx(tmp_path / "f").tobytes() == SMALL[16:]


def gzip_bomb(size):
    """A header that is honest about its size, and zeros, as members of gzip: 1 GiB in 1 MB."""
    return gzip.compress(idx_head(size)) + gzip.compress(bytes(16 * MIB)) * (size // (16 * MIB))


HOSTILE_IDX = {
    "empty": (b"", "no IDX"),
    "two bytes": (b"\0\0", "no IDX"),
    "wrong magic": (b"\1" + SMALL[1:], "no IDX"),
    "unknown dtype": (SMALL[:2] + b"\x0a" + SMALL[3:], "no IDX"),
    "no dimensions": (b"\0\0\x08\0a", "no IDX"),
    "255 dimensions": (b"\0\0\x08\xff" + b"\0\0\0\1" * 3, "no IDX"),
    "ends within its head": (idx_head(3, 4, 5)[:-5], "3 dimensions"),
    "65 dimensions": (idx_head(*[1] * 65) + b"x", "no IDX"),
    "product overflows": (idx_head(2**31, 2**31, 4), "claims"),
    "product overflows, packed": (gzip.compress(idx_head(2**31, 2**31, 4)), "claims"),
    "a thousand million": (idx_head(10**9) + b"x", "claims 1,000,000,000"),
    "a thousand million, packed": (gzip.compress(idx_head(10**9)), "claims 1,000,000,000"),
    "one byte short": (SMALL[:-1], "only 23"),
    "one byte long": (SMALL + b"x", "more"),
    "packed, one byte short": (gzip.compress(SMALL[:-1]), "only 23"),
    "packed, one byte long": (gzip.compress(SMALL + b"x"), "more"),
    "wider dtype, too short": (SMALL[:2] + b"\x0e" + SMALL[3:], "192"),
    "bomb": (gzip_bomb(2**30), "claims 1,073,741,824"),
    "small head, long stream": (gzip.compress(SMALL) + gzip.compress(bytes(16 * MIB)) * 64, "more"),
    "bad check sum": (PACKED[:-8] + bytes(4) + PACKED[-4:], "damaged"),
    "junk after the end": (PACKED + b"junk", "damaged"),
    "a packed packed file": (gzip.compress(PACKED), "no IDX"),
    "a bad packed stream": (PACKED[:12] + b"\xff" * 8 + PACKED[20:], "damaged"),
    "another method of packing": (PACKED[:2] + b"\7" + PACKED[3:], "damaged"),
    "a web page": (b"<html>not found</html>", "no IDX"),
}


@pytest.mark.parametrize("name", HOSTILE_IDX)
def test_hostile_idx_is_refused(tmp_path, name):
    content, word = HOSTILE_IDX[name]
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    refused(path, read_idx, word)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [SMALL, PACKED], ids=["plain", "packed"])
def test_every_cut_is_refused(tmp_path, content):
    path = tmp_path / "f"
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(FileError):
            read_idx(path)
    path.write_bytes(content)
    assert read_idx(path).shape == (2, 3, 4)


# --- .npz -------------------------------------------------------------------------------------------------------------

X = np.arange(12.0).reshape(4, 3)
Y = np.array([0, 1, 0, 1])


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npy_head(header, version=(1, 0), body=b""):
    """An .npy file with a header of our own."""
    text = header.encode() + b"\n"
    size = len(text).to_bytes(2 if version == (1, 0) else 4, "little")
    return b"\x93NUMPY" + bytes(version) + size + text + body


def archive(*members, compression=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as out:
        for name, content in members:
            out.writestr(name, content)
    return file.getvalue()


def with_X(content, **options):
    return archive(("X.npy", content), ("y.npy", npy(Y)), **options)


def claiming(shape, descr="'<f8'", order="False", body=b"", **options):
    return with_X(npy_head(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}", body=body), **options)


def patched(content, old, new, count=-1):
    assert old in content
    return content.replace(old, new, count)


def duplicate():
    with pytest.warns(UserWarning, match="Duplicate"):
        return archive(("X.npy", npy(X)), ("X.npy", npy(X + 1)), ("y.npy", npy(Y)))


def encrypted():
    """The flag in the local and in the central header."""
    content = bytearray(with_X(npy(X)))
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        for match in re.finditer(re.escape(signature), bytes(content)):
            content[match.start() + offset] |= 1
    return bytes(content)


def lying_sizes(size):
    """The central directory claims that X is `size` bytes long, unpacked."""
    body = npy_head(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({size - 80},), }}".ljust(69), body=b"x" * 100)
    content = bytearray(with_X(body))
    place = content.index(b"PK\1\2") + 24
    content[place:place + 4] = size.to_bytes(4, "little")
    return bytes(content)


GOOD_NPZ = {
    "plain": (npz(X=X, y=Y), X, Y),
    "compressed": (with_X(npy(X)), X, Y),
    "other members": (npz(X=X, y=Y, z=np.zeros(3), other=np.array([{}], object)), X, Y),
    "fortran": (npz(X=np.asfortranarray(X), y=Y), X, Y),
    "big-endian": (npz(X=X.astype(">f8"), y=Y.astype(">i2")), X, Y),
    "bool": (npz(X=X > 3, y=Y > 0), X > 3, Y > 0),
    "half": (npz(X=X.astype("f2"), y=Y), X, Y),
    "text labels": (npz(X=X, y=np.array(["a", "bb", "a", "bb"])), X, np.array(["a", "bb", "a", "bb"])),
    "bytes as labels": (npz(X=X, y=np.array([b"a", b"b"] * 2)), X, np.array([b"a", b"b"] * 2)),
    "zeros, small": (archive(("X.npy", npy(np.zeros((1000, 500)))), ("y.npy", npy(np.arange(1000)))),
                     np.zeros((1000, 500)), np.arange(1000)),
    "version 2 of npy": (with_X(npy_head(str(np.lib.format.header_data_from_array_1_0(X)), (2, 0), X.tobytes())), X, Y),
    "by lzma": (with_X(npy(X), compression=zipfile.ZIP_LZMA), X, Y),
}


@pytest.mark.parametrize("name", GOOD_NPZ)
def test_a_good_npz_gives_its_arrays(tmp_path, name):
    content, *wanted = GOOD_NPZ[name]
    (tmp_path / "f").write_bytes(content)
    for found, array in zip(read_npz(tmp_path / "f"), wanted, strict=True):
        np.testing.assert_array_equal(found, array)


def test_another_member_may_hold_the_labels(tmp_path):
    (tmp_path / "f").write_bytes(npz(X=X, kind=Y + 7))
    assert read_npz(tmp_path / "f", "kind")[1].tolist() == [7, 8, 7, 8]


HOSTILE_NPZ = {
    "empty": (b"", "damaged"),
    "no archive": (b"PK\3\4 and no more", "damaged"),
    "no members": (archive(), "0 members 'X'", "nothing"),
    "no X": (npz(x=X, y=Y), "0 members 'X'", "x.npy"),
    "no y": (npz(X=X), "0 members 'y'", "X.npy"),
    "X elsewhere": (archive(("../X.npy", npy(X)), ("y.npy", npy(Y))), "../X.npy"),
    "a name for the terminal": (archive(("\x1b[31m.npy", npy(X))), r"\x1b[31m"),
    "duplicate": (duplicate(), "2 members 'X'"),
    "a pickle": (npz(X=np.array([{"a": 1}] * 4, object), y=Y), "dtype object"),
    "a pickle as labels": (npz(X=X, y=np.array(["a", None], object)), "dtype object"),
    "structured": (npz(X=np.zeros(4, [("a", "f8"), ("b", "i4")]), y=Y), "dtype"),
    "complex": (npz(X=X + 0j, y=Y), "complex128"),
    "dates": (npz(X=X.astype("M8[s]"), y=Y), "datetime64"),
    "text": (npz(X=X.astype(str), y=Y), "dtype <U"),
    "complex labels": (npz(X=X, y=Y + 0j), "complex128"),
    "encrypted": (encrypted(), "encrypted"),
    "8 TB": (claiming((10**12,)), "8,000,000,000,000 bytes"),
    "12 GB": (claiming((1_500_000_000,)), "12,000,000,000 bytes"),
    "product overflows": (claiming((2**62, 2**62, 4)), "does not have"),
    "negative": (claiming((-1, 3)), "does not have"),
    "two negatives": (claiming((-2, -3), body=bytes(48)), "does not have"),
    "shape is text": (claiming("'abc'"), "damaged"),
    "shape is a float": (claiming("(1.5,)"), "damaged"),
    "no shape": (with_X(npy_head("{'descr': '<f8', 'fortran_order': False}")), "damaged"),
    "dtype unknown": (claiming((1,), "'<q9'"), "damaged"),
    "dtype with a subarray": (claiming((1,), "('<f8', (1000, 1000, 1000))"), "dtype"),
    "items of no size": (claiming((10**12,), "'<U0'"), "dtype"),
    "header is code": (with_X(npy_head("__import__('os').abort()")), "damaged"),
    "header is deep": (with_X(npy_head("[" * 3000)), "damaged"),
    "header is a chain of signs": (with_X(npy_head("-" * 9000 + "1")), "damaged"),
    "dtype of nothing": (claiming((1,), "()"), "damaged"),
    "dtype is a mapping": (claiming((1,), "{'a': 1}"), "damaged"),
    "dtype is a number": (claiming((1,), "3"), "damaged"),
    "order is text": (claiming((1,), order="'C'"), "damaged"),
    "33 dimensions": (claiming((1,) * 65, body=bytes(8)), "damaged"),
    "header is long": (with_X(npy_head("{" + " " * 60_000 + "}")), "damaged"),
    "version 3": (with_X(npy_head("{}", (3, 0))), "structured arrays"),
    "version 9": (with_X(npy_head("{}", (9, 0))), "damaged"),
    "no npy at all": (with_X(b"hello"), "damaged"),
    "an empty member": (with_X(b""), "damaged"),
    "too short": (with_X(npy(X)[:-1]), "does not have"),
    "too long": (with_X(npy(X) + b"x"), "does not have"),
    "bomb": (with_X(npy_head("{'descr': '|u1', 'fortran_order': False, 'shape': (83886080,), }", body=bytes(80 * MIB))),
             "claims 83,88"),
    "sizes lie": (lying_sizes(50_000), "damaged"),
    "sizes lie by far": (lying_sizes(2**32 - 2), "claims 4,294,967,294"),
    "bad check sum": (patched(npz(X=X, y=Y), X.tobytes(), X[::-1].tobytes()), "CRC"),
    "bad stream": (patched(with_X(npy(X)), zlib.compress(npy(X))[2:12], b"\xff" * 10), "damaged"),
    "another method of packing": (patched(with_X(npy(X)), b"\x08\0", b"\x63\0"), "damaged"),
}


@pytest.mark.parametrize("name", HOSTILE_NPZ)
def test_hostile_npz_is_refused(tmp_path, name):
    content, *words = HOSTILE_NPZ[name]
    path = tmp_path / "f.npz"
    path.write_bytes(content)
    refused(path, read_npz, *words)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [npz(X=X, y=Y), with_X(npy(X))], ids=["plain", "packed"])
def test_every_cut_npz_is_refused(tmp_path, content):
    path = tmp_path / "f"
    for size in range(0, len(content), 7):
        path.write_bytes(content[:size])
        with pytest.raises(FileError):
            read_npz(path)


def test_a_large_array_may_be_compressed_as_data_are(tmp_path):
    """Above the size that is always taken, an archive is accepted at the expansion of real data."""
    size = SMALL_BYTES + MIB
    rows = np.zeros((size // 1024, 1024), np.uint8)
    rows[:, ::64] = np.random.default_rng(0).integers(0, 256, rows[:, ::64].shape)
    content = archive(("X.npy", npy(rows)), ("y.npy", npy(np.arange(len(rows)))))
    assert 10 < size / len(content) < MOST_EXPANSION
    (tmp_path / "f").write_bytes(content)
    np.testing.assert_array_equal(read_npz(tmp_path / "f")[0], rows)


# --- .csv -------------------------------------------------------------------------------------------------------------

XC, YC = [[1, 2.5], [-3, 4e2]], [0, 1]
GOOD_CSV = {
    "plain": ("1,2.5,0\n-3,4e2,1\n", XC, YC),
    "no last newline": ("1,2.5,0\n-3,4e2,1", XC, YC),
    "names": ("a,b,kind\n1,2.5,0\n-3,4e2,1\n", XC, YC),
    "names, an index without": (",b,kind\n1,2.5,0\n-3,4e2,1\n", XC, YC),
    "byte order mark": ("\ufeffa,b,kind\n1,2.5,0\n-3,4e2,1\n", XC, YC),
    "byte order mark, no names": ("\ufeff1,2.5,0\n-3,4e2,1\n", XC, YC),
    "windows": ("a,b,kind\r\n1,2.5,0\r\n-3,4e2,1\r\n", XC, YC),
    "old mac": ("1,2.5,0\r-3,4e2,1\r", XC, YC),
    "semicolons": ("a;b;kind\n1;2.5;0\n-3;4e2;1\n", XC, YC),
    "tabs": ("a\tb\tkind\n1\t2.5\t0\n-3\t4e2\t1\n", XC, YC),
    "quotes": ('"a","b","kind"\n"1","2.5","0"\n"-3","4e2","1"\n', XC, YC),
    "empty lines": ("\n1,2.5,0\n\n\n-3,4e2,1\n\n", XC, YC),
    "spaces": (" 1, 2.5, 0\n-3 ,4e2 ,1 \n", XC, YC),
    "text labels": ("a,b,kind\n1,2.5,no\n-3,4e2,yes\n", XC, ["no", "yes"]),
    "text labels, no names": ("1,2.5,no\n-3,4e2,yes\n", XC, ["no", "yes"]),
    "commas in labels": ('1,2.5,"a,b"\n-3,4e2,"c\nd"\n', XC, ["a,b", "c\nd"]),
    "float labels": ("1,2.5,1.0\n-3,4e2,2\n", XC, [1.0, 2.0]),
    "long numbers as labels": ("1,2.5,12345678901234567890123\n-3,4e2,x\n", XC, ["12345678901234567890123", "x"]),
    "odd labels": ("1,2.5,--5\n-3,4e2,+5\n", XC, ["--5", "+5"]),
    "other scripts' digits as labels": ("1,2.5,٣\n-3,4e2,٤\n", XC, ["٣", "٤"]),
    "accents": ("é,b,kind\n1,2.5,à\n-3,4e2,ü\n", XC, ["à", "ü"]),
}


@pytest.mark.parametrize("name", GOOD_CSV)
def test_a_good_csv_gives_its_table(tmp_path, name):
    text, X, y = GOOD_CSV[name]
    (tmp_path / "f").write_bytes(text.encode())
    found_X, found_y = read_csv(tmp_path / "f")
    assert found_X.tolist() == X and found_X.dtype == np.float64
    assert found_y.tolist() == y


@pytest.mark.parametrize("text, target, X, y", [
    ("kind,a,b\nno,1,2\nyes,3,4\n", "kind", [[1, 2], [3, 4]], ["no", "yes"]),
    ("a,kind,b\n1,no,2\n3,yes,4\n", "kind", [[1, 2], [3, 4]], ["no", "yes"]),
    ("no,1,2\nyes,3,4\n", 0, [[1, 2], [3, 4]], ["no", "yes"]),
    ("no,1\nyes,3\n", 0, [[1], [3]], ["no", "yes"]),
    ("1,no,2\n3,yes,4\n", -2, [[1, 2], [3, 4]], ["no", "yes"]),
    ("0,1,2\n5,6,7\n8,9,1\n", "1", [[5, 7], [8, 1]], [6, 9]),
])
def test_any_column_may_hold_the_classes(tmp_path, text, target, X, y):
    (tmp_path / "f").write_text(text)
    found_X, found_y = read_csv(tmp_path / "f", target)
    assert found_X.tolist() == X and found_y.tolist() == y


@given(hnp.arrays(np.float64, (3, 2), elements=st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_come_back_bit_for_bit(tmp_path_factory, X):
    path = tmp_path_factory.getbasetemp() / "f.csv"
    path.write_text("".join(f"{float(a)!r},{float(b)!r},{i}\n" for i, (a, b) in enumerate(X)))
    assert read_csv(path)[0].tobytes() == X.tobytes()


BAD_CSV = {
    "empty": (b"", "at least two columns"),
    "one column": (b"1\n2\n", "at least two columns", "commas"),
    "names only": (b"a,b,kind\n", "holds no rows"),
    "a short line": (b"1,2,0\n3,1\n", "line 2 has 2 columns, the first has 3"),
    "a long line": (b"a,b,kind\n1,2,0\n\n3,4,1,5\n", "line 4 has 4 columns"),
    "NUL": (b"1,2,0\n3,\0004,1\n", "line 2", "NUL"),
    "a long field": (b"1,2,0\n3," + b"4" * 200_000 + b",1\n", "line 2", "field larger"),
    "a quote left open": (b'1,2,0\n3,"4,1\n', "line 2", "unexpected end"),
    "text after a quote": (b'1,"2"x,0\n', "line 1"),
    "UTF-16": ("1,2,0\n".encode("utf-16"), "UTF-8"),
    "Latin-1": ("a,b,kind\n1,2,é\n".encode("latin-1"), "UTF-8"),
    "text": (b"1,2,0\n3,x,1\n", "line 2, column 2: 'x'"),
    "text in a named column": (b"a,b,kind\n1,2,0\n3,x,1\n", "line 3, column 2 (b): 'x'"),
    "text in the first line": (b"1,x,0\n3,4,1\n", "line 1, column 2: 'x'"),
    "a gap": (b"1,2,0\n3,,1\n", "line 2, column 2: ''"),
    "nan": (b"1,2,0\n3,nan,1\n", "line 2, column 2: 'nan'"),
    "infinity": (b"1,2,0\n3,-Infinity,1\n", "'-Infinity'"),
    "overflow": (b"1,2,0\n3,1e999,1\n", "'1e999'"),
    "underscores": (b"1,2,0\n3,1_000,1\n", "'1_000'"),
    "other scripts' digits": ("1,2,0\n3,٣,1\n".encode(), "column 2"),
    "a comma in numbers": (b"1,5;2;0\n3.5;4;1\n", "line 2, column 1: '3.5'", "--decimal ."),
    "a formula": (b"1,2,0\n3,=cmd(),1\n", "'=cmd()'"),
    "no class": (b"1,2,0\n3,4, \n", "line 2 has no class"),
    "for the terminal": (b"1,2,0\n3,\x1b[31m,1\n", r"\x1b[31m"),
    "very long text": (b"1,2,0\n3," + b"x" * 100_000 + b",1\n", "..."),
}


GAPS = ("a gap", "nan")  # which are refused only where this is asked


@pytest.mark.parametrize("name", BAD_CSV)
def test_a_bad_csv_is_refused_with_its_place(tmp_path, name):
    content, *words = BAD_CSV[name]
    path = tmp_path / "f.csv"
    path.write_bytes(content)
    refused(path, partial(read_table, form=check_format(missing="error")), *words)
    if name in GAPS:
        X = read_csv(path)[0]
        assert np.isnan(X).tolist() == [[False, False], [False, True]] and X[1, 0] == 3
    else:
        refused(path, read_csv, *words)


def test_a_column_too_far_right_is_named_rightly(tmp_path):
    """The column of classes stands before the bad one, and counts."""
    path = tmp_path / "f.csv"
    path.write_text("kind,a,b\nno,1,2\nyes,3,x\n")
    refused(path, lambda path: read_csv(path, "kind"), "line 3, column 3 (b)")


@pytest.mark.parametrize("text, target, error, word", [
    ("a,b,kind\n1,2,0\n", "kin", UnknownName, "did you mean kind"),
    ("a,kind,kind\n1,2,0\n", "kind", FileError, "2 columns 'kind'"),
    ("1,2,0\n", 3, InvalidValue, "target=3"),
    ("1,2,0\n", -4, InvalidValue, "target=-4"),
])
def test_a_wrong_target_is_refused(tmp_path, text, target, error, word):
    path = tmp_path / "f.csv"
    path.write_text(text)
    refused(path, lambda path: read_csv(path, target), word, error=error)


def test_a_wide_table_is_read(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("\n".join(",".join(["1"] * 100_000) for _ in range(2)))
    assert read_csv(path)[0].shape == (2, 99_999)


# --- anything ---------------------------------------------------------------------------------------------------------

SEEDS = [SMALL, PACKED, npz(X=X, y=Y), with_X(npy(X)), b"a,b,kind\n1,2.5,no\n-3,4e2,yes\n"]


@st.composite
def mutations(draw):
    """A good file with a few slices overwritten, taken out or doubled; or any bytes at all."""
    content = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        stop = draw(st.integers(start, min(len(content), start + 12)))
        content[start:stop] = draw(st.sampled_from([b"", bytes(content[start:stop]) * 2]) | st.binary(max_size=12))
    return bytes(content)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@given(mutations() | st.binary(max_size=200))
def test_any_bytes_give_data_or_one_line(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content)
    for read in (read_idx, read_npz, read_csv, load_data):
        try:
            read(path)
        except MinnetError as error:
            assert str(error).isprintable()


# --- headers and the column of classes --------------------------------------------------------------------------------


def test_a_header_of_numbers_is_a_header(tmp_path):
    """As pandas writes columns without names; two columns may as well be a sample."""
    path = tmp_path / "f.csv"
    path.write_text("0,1,2\n0.5,1.5,0\n2.5,3.5,1\n")
    X, y = read_csv(path)
    assert X.tolist() == [[0.5, 1.5], [2.5, 3.5]] and y.tolist() == [0, 1]
    path.write_text("0,1\n2,0\n")
    assert len(read_csv(path)[1]) == 2
    path.write_text("0,1,3\n2,0,1\n")
    assert len(read_csv(path)[1]) == 2


def test_the_target_may_be_a_number_as_text(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("a,0.5,1.5\nb,2.5,3.5\n")
    X, y = read_csv(path, "0")
    assert X.tolist() == [[0.5, 1.5], [2.5, 3.5]] and y.tolist() == ["a", "b"]


@pytest.mark.parametrize("name", ["label", "class", "target", "y", "Label"])
def test_a_column_that_may_be_the_classes_is_asked_about(tmp_path, name):
    path = tmp_path / "f.csv"
    path.write_text(f"{name},p0,p1\n0,0.5,1\n1,2.5,2\n")
    refused(path, lambda path: read_csv(path), f"has a column '{name}', and the last one is 'p1'")
    refused(path, lambda path: read_csv(path), f"--target {name}, or --target p1")
    assert read_csv(path, name)[1].tolist() == [0, 1] and read_csv(path, "p1")[1].tolist() == [1, 2]
    path.write_text(f"{name},p0,kind\n0,0.5,1\n".replace("kind", "class"))
    assert read_csv(path)[1].tolist() == [1], "the last one is called so as well"
