"""A plain chain of layers as an ONNX file, channels first, for the peers that read nothing else."""
import numpy as np


def write_onnx(model, path, batch):
    """Write a Sequential of Conv2d, MaxPool2d, Flatten, Dense and ReLU (valid padding) for batches of a fixed size."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, numbers, name, shape = [], [], "x", model.input_shape
    for i, layer in enumerate(model.tree.layers):
        kind, out = type(layer).__name__, f"t{i}"
        inputs, attributes = [name], {}
        if kind in ("Dense", "Conv2d"):
            weight = layer.weight.value
            if kind == "Conv2d":
                weight = weight.transpose(3, 2, 0, 1)
            elif len(shape) == 3:  # what was flattened channels last is now flattened channels first
                weight = weight.reshape(*shape, -1).transpose(2, 0, 1, 3).reshape(len(weight), -1)
            for part, array in (("w", weight), ("b", layer.bias.value)):
                numbers.append(numpy_helper.from_array(np.ascontiguousarray(array), f"{part}{i}"))
                inputs.append(f"{part}{i}")
        if kind in ("Conv2d", "MaxPool2d"):
            attributes = {"kernel_shape": layer.window.kernel, "strides": layer.window.stride}
        if kind != "Flatten":
            shape = layer.output_shape
        nodes.append(helper.make_node(OPERATORS[kind], inputs, [out], **attributes))
        name = out
    height_first = [batch, *model.input_shape[-1:], *model.input_shape[:-1]]
    graph = helper.make_graph(
        nodes, "chain", [helper.make_tensor_value_info("x", TensorProto.FLOAT, height_first)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *model.output_shape])], numbers)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(made)
    onnx.save(made, path)


OPERATORS = {"Dense": "Gemm", "Conv2d": "Conv", "MaxPool2d": "MaxPool", "Flatten": "Flatten", "ReLU": "Relu"}
