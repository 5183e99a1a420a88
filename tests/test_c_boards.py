"""What is around an exported net: sketches for boards, and programs for Arm that run in an emulator."""
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import minnet as mn
from minnet.data import from_arrays

EXAMPLES = Path(mn.__file__).parents[1] / "examples"
STUBS = {
    "Arduino.h": """#include <stdint.h>
struct Out { void begin(long) {} void println(const char *) {} };
static Out Serial;
static const int A0 = 0;
inline int analogRead(int) { return 0; }
inline void delay(int) {}
""",
    "zephyr/kernel.h": "#include <stdint.h>\nstatic inline uint32_t k_cycle_get_32(void) { return 0; }\n",
    "zephyr/sys/printk.h": "#include <stdio.h>\n#define printk printf\n",
}
START = """int main(void);
void _start(void);
void _start(void)
{
    register int code __asm__("r0") = main();
    register int exit __asm__("r7") = 1;
    __asm__ volatile("svc 0" : : "r"(code), "r"(exit));
}
"""
SLEEP = """#include <avr/interrupt.h>
#include <avr/sleep.h>
int check(void);
int main(void)
{
    while (check() != 0) {
    }
    cli();
    sleep_enable();
    sleep_cpu();
    return 0;
}
"""
ARM = {"M0": ["-mcpu=cortex-m0", "-mthumb"],
       "M4": ["-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"]}


def need(*programs):
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here")


def run(*command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    return done


@pytest.fixture
def gesture(tmp_path):
    """A net with three labels, exported in integers with test vectors, and the folder with it and the stubs."""
    rng = np.random.default_rng(0)
    y = np.array(["down", "left", "up"])[np.arange(90) % 3]
    X = rng.normal(size=(90, 12)) + 3 * (np.arange(90) % 3)[:, None]
    data = from_arrays(X, y, rng=0)
    model = mn.models.mlp(data.shape, data.n_classes, (8,), rng=0)
    model.signature = data.signature
    mn.prune(model, 0.5)
    mn.save_c(model, tmp_path / "gesture.c", name="gesture", precision="int8", arithmetic="int8", calibration=X,
              vectors=5)
    for name, text in STUBS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_arduino_sketch_compiles(gesture):
    need("c++")
    run("c++", "-x", "c++", "-include", "Arduino.h", "-Wall", "-Wextra", "-I.", "-c",
        str(EXAMPLES / "arduino/gesture/gesture.ino"), folder=gesture)


def test_the_zephyr_program_runs(gesture):
    need("cc")
    run("cc", "-std=c99", "-Wall", "-Wextra", "-I.", str(EXAMPLES / "zephyr/src/main.c"), "gesture.c", "-o", "program",
        folder=gesture)
    lines = run("./program", folder=gesture).stdout.splitlines()
    assert len(lines) == 5 and all(line.startswith("right ") for line in lines)
    assert all(f"src/{name}" in (EXAMPLES / "zephyr/CMakeLists.txt").read_text() for name in ("main.c", "gesture.c"))


@pytest.mark.parametrize("core", ARM)
def test_an_emulated_arm_core_misses_no_vector(core, gesture):
    """What is compiled for the core is run as a program of Linux, which begins and ends without a library."""
    need("arm-none-eabi-gcc", "qemu-arm")
    (gesture / "start.c").write_text(START)
    run("arm-none-eabi-gcc", *ARM[core], "-std=c99", "-O2", "-nostdlib", "gesture.c", "gesture_main.c", "start.c",
        "-lc", "-lgcc", "-o", "arm", folder=gesture)
    assert run("qemu-arm", "./arm", folder=gesture).returncode == 0


def test_an_emulated_avr_keeps_constants_in_flash(gesture):
    """It sleeps, which ends the emulation, where every vector is met; constants of the net are not in its RAM."""
    need("avr-gcc", "avr-nm", "simavr")
    (gesture / "run.c").write_text(SLEEP)
    (gesture / "check.c").write_text((gesture / "gesture_main.c").read_text().replace("main(void)", "check(void)"))
    done = subprocess.run(["avr-gcc", "-mmcu=atmega328p", "-std=gnu99", "-Os", "gesture.c", "check.c", "run.c", "-o",
                           "avr"], cwd=gesture, capture_output=True, text=True, check=False)
    if done.returncode and "avr/" in done.stderr:
        pytest.skip("no avr-libc here")
    assert not done.returncode, done.stderr
    assert subprocess.run(["simavr", "-m", "atmega328p", "-f", "16000000", "avr"], cwd=gesture, capture_output=True,
                          timeout=20, check=False).returncode == 0
    strict = subprocess.run(["avr-gcc", "-mmcu=atmega328p", "-std=c99", "-c", "gesture.c"], cwd=gesture,
                            capture_output=True, text=True, check=False)
    assert "and they would fill the RAM: take -std=gnu99" in strict.stderr
    constants = [line for line in run("avr-nm", "avr", folder=gesture).stdout.splitlines() if "_dense1" in line]
    assert constants and all(int(line.split()[0], 16) < 0x800000 for line in constants), "RAM begins there"
