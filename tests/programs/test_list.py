"""`acmelike programs`: what there is to run, in words and pictures."""

import ast
import subprocess
import sys
from pathlib import Path

from acmelike.__main__ import main
from tests.programs.small import SMALL

ROOT = Path(__file__).parents[2]
NAMES = {path.stem for path in (ROOT / "programs").glob("[!_]*.py")}


def test_each_program_has_a_line_with_what_it_is():
    ended = subprocess.run(
        [sys.executable, "-m", "programs"], cwd=ROOT, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    *lines, last = ended.stdout.splitlines()
    assert last.startswith("acmelike programs --pictures FOLDER ")
    assert {line.split()[2] for line in lines} == NAMES
    for line in lines:
        *_, name, what = line.split(maxsplit=3)
        source = (ROOT / "programs" / f"{name}.py").read_text()
        assert ast.get_docstring(ast.parse(source)).splitlines()[0] == what


def test_each_program_is_started_on_hosts_and_ray():
    assert SMALL.keys() == NAMES


def test_each_program_has_a_picture(tmp_path, capsys):
    folder = tmp_path / "new" / "pictures"
    assert main(["programs", "--pictures", str(folder)]) == 0
    assert {path.name for path in folder.iterdir()} == {f"{n}.svg" for n in NAMES}
    for path in folder.iterdir():
        assert "learner" in path.read_text()
    assert capsys.readouterr().err == ""


def test_mistakes_are_one_line_and_status_2(tmp_path, capsys):
    (tmp_path / "file").touch()
    for args in (["--picture", "x"], ["--pictures", str(tmp_path / "file")], ["dqn"]):
        assert main(["programs", *args]) == 2
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
    assert main(["programs", "--help"]) == 0
