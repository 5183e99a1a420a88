"""Change the bytes of a valid file at random, in ways that its format notices late.

    mutated(content, rng)       # bytes; the same for the same state of `rng`

A file is changed as bytes, as text with numbers, or, where its content says that it is one, as JSON, as a safetensors
file with a header of JSON, as a zip archive of other files or as an ONNX graph.
"""
import copy
import io
import json
import re
import struct
import zipfile
from contextlib import suppress

MOST_CHANGES = 3
LONGEST_CUT = 64
JSON_VALUES = (None, True, False, 0, -1, 1, 2, 0.5, 2**31, 2**63, -2**63, 10**30, 1e308, -1e-308, "", "x", "relu",
               "nan", "../x", "a\x1b[31m\ud800", "x" * 3000, [], [0], [-1], [1, 1], [[[1]]], {}, {"a": 1})
NUMBERS = (b"0", b"-1", b"1e308", b"nan", b"-inf", b"99999999999999999999", b"1e-320", b"\xd9\xa3", b"", b"0x10")
PIECES = (b"\0", b"\xff", b"\n", b"\r\n", b'"', b",", b";", b"[", b"{", b"\xef\xbb\xbf", b"\x1b[31m", b"\xed\xa0\x80")
WORDS = (0, 1, 0x7F, 0x80, 0xFF, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
SIZES = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}


def mutated(content: bytes, rng) -> bytes:
    """Return the bytes of a file after one to three changes."""
    content = bytes(content)
    for _ in range(1 if rng.random() < 0.6 else int(rng.integers(2, MOST_CHANGES + 1))):
        ways = [way for test, way in STRUCTURED if test(content)]
        way = ways[0] if ways and rng.random() < 0.7 else of_text if rng.random() < 0.3 else of_bytes
        with suppress(Exception):  # after one change the format may be none that this module can read
            content = way(content, rng)
    return content


def of_bytes(content, rng):
    """Bits, words, pieces taken out, doubled or moved, an end that is missing."""
    content, at = bytearray(content or b"\0"), int(rng.integers(len(content) or 1))
    piece = slice(at, at + int(rng.integers(1, LONGEST_CUT)))
    kind = int(rng.integers(7))
    if kind == 0:
        content[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        content[at] = int(rng.integers(256))
    elif kind == 2:
        width = int(rng.choice(list(SIZES)))
        content[at : at + width] = struct.pack(SIZES[width], WORDS[int(rng.integers(len(WORDS)))] % 256**width)
    elif kind == 3:
        del content[piece]
    elif kind == 4:
        content[piece] = content[piece] * int(rng.integers(2, 40))
    elif kind == 5:
        to = int(rng.integers(len(content)))
        content[to:to] = content[piece]
    else:
        del content[at:]
    return bytes(content)


def of_text(content, rng):
    """Another number in the place of one, or a piece that a parser may trip over."""
    numbers = list(re.finditer(rb"-?\d+(\.\d+)?", content[: 2**16]))
    if numbers and rng.random() < 0.6:
        found = numbers[int(rng.integers(len(numbers)))]
        number = NUMBERS[int(rng.integers(len(NUMBERS)))] if rng.random() < 0.5 else b"%d" % rng.integers(-9, 99)
        return content[: found.start()] + number + content[found.end():]
    at = int(rng.integers(len(content) + 1))
    return content[:at] + PIECES[int(rng.integers(len(PIECES)))] * int(rng.choice([1, 2, 500])) + content[at:]


def of_json(content, rng):
    """Another value somewhere, mostly one like it, or one that is missing, doubled, or inside lists."""
    return json.dumps(changed(json.loads(content), rng)).encode()


def changed(value, rng):
    """Return a JSON value that differs in one place; texts that are JSON themselves are changed inside."""
    value = copy.deepcopy(value)
    spots = places(value)
    if not spots:
        return odd(rng)
    holder, key = spots[int(rng.integers(len(spots)))]
    kind = int(rng.integers(10))
    if isinstance(holder[key], str) and holder[key][:1] in ("{", "[") and kind < 9:
        holder[key] = json.dumps(changed(json.loads(holder[key]), rng))
    elif kind == 0:
        del holder[key]
    elif kind == 1:
        holder[key] = [copy.deepcopy(holder[key])] * int(rng.integers(1, 4))
    elif kind == 2:
        other, name = spots[int(rng.integers(len(spots)))]
        holder[key] = copy.deepcopy(other[name])
    elif kind == 3:
        for _ in range(int(rng.choice([3, 100]))):
            holder[key] = {"a": holder[key]} if rng.random() < 0.5 else [holder[key]]
    elif kind == 4:
        holder[key] = odd(rng)
    else:
        holder[key] = near(holder[key], spots, rng)
    return value


def near(value, spots, rng):
    """Return a value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return [value + 1, value - 1, -value, 2 * value, value * 1000, type(value)(0)][int(rng.integers(6))]
    alike = [holder[key] for holder, key in spots if type(holder[key]) is type(value)]
    if isinstance(value, list) and rng.random() < 0.7:
        return [value[::-1], value[1:], value[:-1], value + value[-1:]][int(rng.integers(4))]
    return copy.deepcopy(alike[int(rng.integers(len(alike)))])


def odd(rng):
    """Return a value that is rarely the right one."""
    return copy.deepcopy(JSON_VALUES[int(rng.integers(len(JSON_VALUES)))])


def places(value):
    """Return [(list or dict, key), ...]: all places inside a value."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [(value, key) for key in keys] + [spot for key in keys for spot in places(value[key])]


def of_safetensors(content, rng):
    """Another value in the header, mostly in what minnet says there, framed again as it should be."""
    begin = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:begin])
    told = header.get("__metadata__", {}).get("minnet")
    if told and rng.random() < 0.7:
        header["__metadata__"]["minnet"] = json.dumps(changed(json.loads(told), rng))
    else:
        header = changed(header, rng)
    header = json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + content[begin:]


def of_zip(content, rng):
    """A member changed, or missing, or there twice; packed again."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    at = int(rng.integers(len(members)))
    name, data = members[at]
    kind = int(rng.integers(12))
    members[at : at + 1] = [[], [(name, data)] * 2, [(name + "x", data)]][kind] if kind < 3 else [
        (name, mutated(data, rng))]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data)
    return packed.getvalue()


def of_onnx(content, rng):
    """Another value in a field of the graph, or one that is missing or doubled."""
    import onnx

    model = onnx.ModelProto.FromString(content)
    holders = [message for message in messages(model) if message.ListFields()]
    message = holders[int(rng.integers(len(holders)))]
    fields = message.ListFields()
    field, value = fields[int(rng.integers(len(fields)))]
    repeated = hasattr(value, "append") or hasattr(value, "add")
    if rng.random() < 0.25:
        message.ClearField(field.name)
    elif repeated and len(value) and rng.random() < 0.5:
        at = int(rng.integers(len(value)))
        value.extend([value[at]]) if rng.random() < 0.5 else value.pop(at)
    elif field.message_type is None:
        new = another(field, rng, model)
        if repeated:
            value[int(rng.integers(len(value)))] = new
        else:
            setattr(message, field.name, new)
    return model.SerializeToString()


def messages(message):
    """Yield a message and all that are inside it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if hasattr(value, "add") else [value]:
                yield from messages(inner)


def another(field, rng, model):
    """Return a value for a field: a name or an operator that the graph has, a number from a list."""
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return float(rng.choice([0.0, -1.0, 1e38, float("nan"), float("inf"), 0.5]))
    if field.type == field.TYPE_BYTES:
        return bytes(rng.integers(0, 256, int(rng.integers(40)), "u1"))
    if field.cpp_type != field.CPPTYPE_STRING:
        return int(rng.choice([0, -1, 1, 2, 3, 7, 255, 65536, 2**31 - 1]))
    nodes = model.graph.node
    names = [word for node in nodes for word in (node.op_type, *node.input, *node.output)] + ["", "x", "Gemm", "Loop"]
    return names[int(rng.integers(len(names)))]


def is_json(content):
    return content[:1] in (b"{", b"[")


def is_safetensors(content):
    return content[8:9] == b"{" and int.from_bytes(content[:8], "little") < len(content)


def is_onnx(content):
    return content[:1] == b"\x08" and len(content) > 2


STRUCTURED = ((is_json, of_json), (is_safetensors, of_safetensors), (lambda content: content[:2] == b"PK", of_zip),
              (is_onnx, of_onnx))
