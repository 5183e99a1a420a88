"""Options in a file (--config, --print-config), and completion by a shell."""
import json
import shutil
import subprocess

import pytest

from minnet.cli import main
from minnet.cli.commands import COMMANDS, load
from minnet.cli.completion import SCRIPTS

GIVEN = [
    ["digits", "--sparsity", "0.95"], ["mine.csv", "--sparsity=max", "--guard", "accuracy:0.01,flips:0.1"],
    ["--guard", "accuracy:0.01", "--guard", "loss:1", "--safe"], ["--value-range", "0", "1e-1", "--count", "07"],
    ["--target", "a", "--target", "b", "--ignore", "id", "--ignore", "2"], ["--delimiter", "tab", "--decimal", ","],
    ["--layers", "conv*,dense1", "--lr", "inf"], ["--penalty", "l1:0.001", "--header", "no", "--quiet", "--seed", "3"],
    ['qu"ote\\d.csv', "--out", "a b=c", "--encoding", "latin-1"], ["--seed", "1", "--seed", "2"], [],
]


@pytest.fixture
def command(capsys):
    """Run a command: command("prune", ...) -> (code, standard output, standard error)."""
    def run(*argv):
        capsys.readouterr()
        return main(list(argv)), *capsys.readouterr()
    return run


def parsed(*args):
    """The options that `minnet prune` understands, without the words themselves."""
    return {name: value for name, value in vars(load("prune")[0].parse_args(args)).items()
            if name not in ("command", "given", "config", "print_config")}


@pytest.mark.parametrize("args", GIVEN)
def test_the_file_that_is_printed_gives_the_same_options(command, tmp_path, args):
    if "inf" in args:
        assert "inf" in command("prune", *args)[2]
        return
    file = tmp_path / "options.toml"
    file.write_text(command("prune", *args, "--print-config")[1])
    assert parsed("--config", str(file)) == parsed(*args)
    assert command("prune", "--config", str(file), "--print-config")[:2] == (0, file.read_text())


@pytest.mark.parametrize("args, wanted", [(["--sparsity", "0.5"], {"sparsity": 0.5, "seed": 3, "what": "a.csv"}),
                                          (["b.csv", "--no-such"], None), (["b.csv"], {"what": "b.csv"}),
                                          (["--guard", "loss:1"], {"guard": [("loss", 1.0)]})])
def test_what_is_given_takes_precedence_over_the_file(command, tmp_path, args, wanted):
    file = tmp_path / "options.toml"
    file.write_text('input = "a.csv"\nsparsity = 0.9\nseed = 3\nguard = ["flips:0.1", "accuracy:0.1"]\nsafe = false\n')
    if wanted is None:
        assert "--no-such" in command("prune", *args, "--config", str(file))[2]
        return
    found = parsed(*args, "--config", str(file))
    assert {name: found[name] for name in wanted} == wanted
    assert not found["safe"]


@pytest.mark.parametrize("text, error", [
    ("sparsty = 0.9", "unknown option in options.toml 'sparsty'; did you mean sparsity?"),
    ("sparsity = [[1]]", "wanted a text, a number, true, or a list"), ("safe = 1", "wanted true or false"),
    ("[prune]\nsparsity = 1", "unknown option"), ("config = 'b.toml'", "unknown option"),
    ("sparsity = 2", "--sparsity"), ("words = 0.5", "--words"), ("\x00", "is no TOML"), ("sparsity 1", "is no TOML")])
def test_a_file_of_options_that_cannot_be_used_is_an_error_of_one_line(command, tmp_path, monkeypatch, text, error):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "options.toml").write_text(text)
    code, _, told = command("prune", "--config", "options.toml")
    assert code == 2 and error in told and len(told.splitlines()) == 1


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_script_of_completion_names_every_command_and_option(command, shell):
    script = command("completion", shell)[1]
    assert json.loads(command("completion", shell, "--json")[1])["script"] == script
    for name in COMMANDS:
        for action in load(name)[0]._actions:
            for option in action.option_strings[-1:]:
                assert (f"-l {option[2:]} " if shell == "fish" else option) in script, f"{name} {option}"
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize("words, wanted", [(["pr"], "prune predict"), (["prune", "--crit"], "--criterion"),
                                           (["prune", "--criterion", "tay"], "taylor"), (["prune", "some"], "some.csv"),
                                           (["prune", "--scaling", ""], "unit max standard none")])
def test_bash_completes(command, tmp_path, words, wanted):
    (tmp_path / "some.csv").touch()
    (tmp_path / "script").write_text(command("completion", "bash")[1] + 'COMP_WORDS=(minnet "$@"); COMP_CWORD=$#\n'
                                     '_minnet; echo "${COMPREPLY[@]}"\n')
    done = subprocess.run(["bash", "script", *words], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == wanted
