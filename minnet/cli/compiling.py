"""Whether the first call will compile: that takes long enough to be told."""
from pathlib import Path

COMPILING = "compiling kernels (once) ..."
EACH_TIME = "compiling kernels (each time: the user's cache folder is not writable) ..."


def tell_compiling(talk):
    """Say so if no compiled kernels are kept from an earlier process."""
    import numba

    from minnet import kernels
    from minnet.kernels.jit import code_folder

    if numba.config.DISABLE_JIT:
        return
    folder = code_folder(Path(kernels.__file__).parent)
    if folder is None:
        talk.say(EACH_TIME)
    elif not any(folder.iterdir()):
        talk.say(COMPILING)
