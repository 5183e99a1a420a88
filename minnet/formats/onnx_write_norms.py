"""How layers of moments of one image are written as ONNX nodes: one function a layer, for the table of onnx_write.py.

Channels that compaction has removed, which go on counting, are a Pad with zeros before the moments are taken, and a
Slice behind. GroupNorm is an InstanceNormalization of groups between two Reshapes, as operator set 18 has it.
"""
import numpy as np

from minnet.formats.channels import IMAGE_AXES, TO_CHANNELS_FIRST, TO_CHANNELS_LAST, channels_first


def layer_norm(writer, layer, x):
    """Write a LayerNormalization over the last axis; of images between two Transposes."""
    image, zeros, order = len(layer.input_shape) == IMAGE_AXES, layer.zeros, writer.orders.get(layer)
    if image:
        x = writer.node("Transpose", [x], f"{layer.name}.last", {"perm": TO_CHANNELS_LAST})

    def layout(array):
        array = array if order is None else channels_first(array, order)
        return np.pad(array, (0, zeros))

    x = padded(writer, layer, x, len(layer.input_shape) + 1, zeros)
    names = [writer.weight(p, layout) for p in (layer.gain, layer.shift)]
    x = writer.node("LayerNormalization", [x, *names], f"{layer.name}.norm" if image or zeros else layer.name,
                    {"axis": -1, "epsilon": float(layer.epsilon)})
    name = f"{layer.name}.cut" if image else layer.name
    x = cut(writer, layer, x, len(layer.input_shape), layer.input_shape[-1], name)
    return writer.node("Transpose", [x], layer.name, {"perm": TO_CHANNELS_FIRST}) if image else x


def group_norm(writer, layer, x):
    """Write Reshape, InstanceNormalization and Reshape, and gain and shift."""
    pixels, groups, channels = layer.split
    image = len(layer.input_shape) == IMAGE_AXES
    shape = (0, layer.input_shape[-1], *layer.input_shape[:-1])
    into, back = (writer.tensor(f"{layer.name}.{name}", np.array(sizes))
                  for name, sizes in (("into", (0, groups, pixels * channels)), ("back", shape)))
    x = padded(writer, layer, writer.node("Reshape", [x, into], f"{layer.name}.groups"), 3, layer.zeros * pixels)
    plain = [writer.tensor(f"{layer.name}.{name}", np.full(groups, value, np.float32))
             for name, value in (("ones", 1), ("nothing", 0))]
    x = writer.node("InstanceNormalization", [x, *plain], f"{layer.name}.norm", {"epsilon": float(layer.epsilon)})
    x = cut(writer, layer, x, 2, pixels * channels, f"{layer.name}.cut")
    x = writer.node("Reshape", [x, back], f"{layer.name}.image")
    gain, shift = (writer.weight(p, (lambda array: array.reshape(-1, 1, 1)) if image else lambda array: array)
                   for p in (layer.gain, layer.shift))
    return writer.node("Add", [writer.node("Mul", [x, gain], f"{layer.name}.times"), shift], layer.name)


def instance_norm(writer, layer, x):
    """Write an InstanceNormalization."""
    names = [writer.weight(p, lambda array: array) for p in (layer.gain, layer.shift)]
    return writer.node("InstanceNormalization", [x, *names], layer.name, {"epsilon": float(layer.epsilon)})


def padded(writer, layer, x, rank, zeros):
    """Write a Pad with so many zeros at the end of the last of `rank` axes, if there are any."""
    if not layer.zeros:
        return x
    pads = writer.tensor(f"{layer.name}.pads", np.array([0] * (2 * rank - 1) + [zeros]))
    return writer.node("Pad", [x, pads], f"{layer.name}.pad")


def cut(writer, layer, x, axis, size, name):
    """Write the Slice that takes the zeros off again, if there are any."""
    if not layer.zeros:
        return x
    ends = [writer.tensor(f"{layer.name}.{what}", np.array([n]))
            for what, n in (("start", 0), ("end", size), ("axis", axis))]
    return writer.node("Slice", [x, *ends], name)
