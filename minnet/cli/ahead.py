"""Compile what `minnet prune` needs last, while it compiles what it needs first: `python -m minnet.cli.ahead`.

Compiled kernels are shared by all processes, so this only has to run a frozen layer.
"""
from minnet.runtime.linear import DENSE
from minnet.runtime.rates import layer_seconds, sparse_layer


def main() -> None:
    """Run a frozen layer."""
    layer_seconds(sparse_layer(1, 1), DENSE, 1)


if __name__ == "__main__":
    main()
