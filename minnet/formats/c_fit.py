"""Whether a net in C fits a microcontroller: flash, RAM, and an estimate of the time, chip by chip.

    for row in fit(model): print(row.chip.name, row.form, row.flash, row.ram, row.verdict)

Constant data and `work` are counted: they are those of the C that `save_c` writes. Code is estimated by the length of
its text, and the time by multiplications, with cycles for each kind of core that instruction counts of an emulator
suggest: it may be half or twice as long.
"""
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from minnet.engine.quantise import INT8, rounded
from minnet.errors import Unsupported, unknown
from minnet.formats.c_floats import FloatNet
from minnet.formats.c_header import STACK
from minnet.formats.c_integers import IntegerNet
from minnet.formats.c_source import check_choices, needs_libm, used_parts
from minnet.formats.c_writer import Choices
from minnet.model import Model

FORMS = {"float32": {}, "int8": {"precision": "int8"}, "integers": {"precision": "int8", "arithmetic": "int8"}}
TIGHT = 0.75           # of a chip's flash or RAM: a program needs some for itself
CODE = 300             # bytes of what every net has
BYTES_PER_LETTER = 0.3     # of the text of functions, as Cortex-M0's code has them
SOFT_FLOAT = 2000      # bytes of additions, products and quotients of floats in software
LIBM = 3000            # bytes of exp, tanh and the like
PER_LAYER = 40         # bytes of a call


@dataclass(frozen=True)
class Chip:
    """A microcontroller: its core, MHz, bytes of flash and RAM, and cycles for a product of floats and of integers.

    `floats_in_hardware` says whether products of floats need no library, `copies` whether constants lie in RAM too
    unless they are marked to be read in flash.
    """

    name: str
    part: str
    core: str
    mhz: int
    flash: int
    ram: int
    float_cycles: int
    int_cycles: int
    floats_in_hardware: bool
    source: str
    copies: bool = False


# Flash of boards with a chip of its own for it is what the board named has; an ESP32's RAM is what holds data, and an
# Arduino Uno's flash what its bootloader leaves. Cycles are estimates.
CHIPS = {chip.name: chip for chip in (
    Chip("stm32f0", "STM32F072RB", "Cortex-M0", 48, 128 * 1024, 16 * 1024, 190, 20, False,
         "ST, DS9826; RIOT, nucleo-f072rb"),
    Chip("rp2040", "RP2040, Raspberry Pi Pico", "Cortex-M0+", 133, 2 * 1024**2, 264 * 1024, 140, 20, False,
         "Raspberry Pi, RP2040 datasheet; Pico datasheet; Zephyr, rpi_pico"),
    Chip("stm32f4", "STM32F401RE", "Cortex-M4F", 84, 512 * 1024, 96 * 1024, 12, 12, True,
         "ST, DS10086; Zephyr, nucleo_f401re"),
    Chip("nrf52840", "nRF52840", "Cortex-M4F", 64, 1024**2, 256 * 1024, 12, 12, True,
         "Nordic, nRF52840 PS; PlatformIO, nrf52840_dk"),
    Chip("esp32", "ESP32-WROOM-32", "Xtensa LX6", 240, 4 * 1024**2, 320 * 1024, 14, 14, True,
         "Espressif, ESP-IDF programming guide, memory types; ESP32-WROOM-32 datasheet"),
    Chip("atmega328p", "ATmega328P, Arduino Uno", "AVR", 16, 32 * 1024 - 512, 2 * 1024, 300, 60, False,
         "Microchip, DS40002061; Arduino, UNO R3 reference manual; PlatformIO, uno", copies=True),
)}


CORE = replace(CHIPS["stm32f0"], name="a core without floats")   # what is counted where no chip is named


def chip_of(name: str) -> Chip:
    """Return the chip of this name; raise UnknownName where there is none."""
    if name not in CHIPS:
        raise unknown("chip", name, CHIPS)
    return CHIPS[name]


def form_of(precision: str | None, arithmetic: str | None) -> str:
    """Return the name in FORMS of a precision and arithmetic as `save_c` takes them; None is float.

    Integers alone are computed with weights of eight bits, so that these need not be said.
    """
    given = Choices(precision=precision or ("int8" if arithmetic == "int8" else "float32"),
                    arithmetic=arithmetic or "float")
    check_choices(given)
    return next(form for form, choices in FORMS.items() if replace(Choices(), **choices) == given)


@dataclass(frozen=True)
class Fit:
    """What a net needs on a chip in a form: bytes of flash and RAM, milliseconds for an input, and the verdict.

    `form` is one of FORMS; the verdict is FITS, TIGHT (above three quarters of the chip's flash or RAM) or TOO BIG.
    """

    chip: Chip
    form: str
    flash: int
    ram: int
    products: int
    milliseconds: float

    @property
    def verdict(self) -> str:
        """Return FITS, TIGHT or TOO BIG."""
        share = max(self.flash / self.chip.flash, self.ram / self.chip.ram)
        return "TOO BIG" if share > 1 else "TIGHT" if share > TIGHT else "FITS"


def fit(model: Model, chips: Sequence[str] | None = None, forms: Sequence[str] | None = None) -> list[Fit]:
    """Return what a model needs on each chip in each form; forms that it cannot be written in are left out.

    Parameters
    ----------
    model : Model
        The net.
    chips : sequence of str, optional
        Names in CHIPS. Default: all.
    forms : sequence of str, optional
        Names in FORMS: "float32", "int8" (weights of 8 bits, computed with floats), "integers". Default: all.

    Raises
    ------
    UnknownName
        No such chip or form.
    Unsupported
        The model has no form in C.
    """
    chosen = [chip_of(name) for name in chips or CHIPS]
    for form in forms or ():
        if form not in FORMS:
            raise unknown("form", form, FORMS)
    rows, refused = [], []
    for form in forms or FORMS:
        try:
            needs = needed(model, form)
        except Unsupported as error:
            refused.append(error)
            continue
        rows += [on_chip(chip, form, needs) for chip in chosen]
    if not rows:
        raise refused[0]
    return sorted(rows, key=lambda row: list(CHIPS).index(row.chip.name))


@dataclass(frozen=True)
class Needs:
    """What a net needs anywhere: bytes of constants, code and RAM, whether it computes with floats and libm.

    `copied` of the constants are not marked to be read in flash.
    """

    constants: int
    copied: int
    code: int
    ram: int
    products: int
    floats: bool
    libm: bool


def needed(model: Model, form: str) -> Needs:
    """Return what a model needs in a form."""
    choices = check_choices(Choices(**FORMS[form]))
    if choices.precision == INT8:
        model = rounded(model)    # as what is written: some weights become 0
    rows = np.random.default_rng(0).normal(size=(4, *model.input_shape))   # sizes are those of any ranges
    floats = form != "integers"
    net = FloatNet(model, choices, rows) if floats else IntegerNet(model, choices, rows.astype(model.dtype), rows[:0])
    net.defined()
    parts, writer = used_parts(net.writer.used), net.writer
    ram = 4 * writer.work + (4 if floats else 1) * math.prod(model.input_shape) + 4 * math.prod(model.output_shape)
    code = CODE + round(BYTES_PER_LETTER * sum(map(len, parts))) + PER_LAYER * len(writer.calls)
    return Needs(writer.constants, writer.constants - writer.in_flash, code, ram + STACK, writer.products, floats,
                 needs_libm(parts))


def on_chip(chip: Chip, form: str, needs: Needs) -> Fit:
    """Return what it needs on a chip."""
    library = (SOFT_FLOAT if needs.floats and not chip.floats_in_hardware else 0) + (LIBM if needs.libm else 0)
    cycles = needs.products * (chip.float_cycles if needs.floats else chip.int_cycles)
    return Fit(chip, form, needs.constants + needs.code + library,
               needs.ram + (needs.copied if chip.copies else 0), needs.products, cycles / chip.mhz / 1000)
