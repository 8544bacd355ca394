"""The wheel and the sdist: what is in them, and that a wheel works where no checkout is.

Built without isolation and without a network, so without wllama, which a release adds.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="it builds the wheel: pip install 'edgelm[dev]'")
ROOT = Path(__file__).parents[1]
SECONDS = 120


def build(source: Path, output: Path, kind: str) -> Path:
    """The file that `kind`, sdist or wheel, of the project in `source` becomes."""
    offline = {"XDG_CACHE_HOME": str(output / "none"), "npm_config_registry": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(output)],
        cwd=source,
        env={**os.environ, **offline, "LOCALAPPDATA": str(output / "none")},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert ("THIS WHEEL IS NOT WHOLE" in done.stdout + done.stderr) == (kind == "wheel")
    (found,) = output.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """The wheel of the checkout, its sdist unpacked, and the wheel of that."""
    folder = tmp_path_factory.mktemp("built")
    for name in ("direct", "sdist", "again"):
        (folder / name).mkdir()
    wheel = build(ROOT, folder / "direct", "wheel")
    with tarfile.open(build(ROOT, folder / "sdist", "sdist")) as archive:
        archive.extractall(folder / "sdist", filter="data")
    (source,) = (one for one in (folder / "sdist").iterdir() if one.is_dir())
    return wheel, source, build(source, folder / "again", "wheel")


@pytest.fixture(scope="module")
def installed(built: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the wheel alone, as pip installs it."""
    target = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--no-compile", "-q"]
    subprocess.run([*command, "--target", str(target), str(built[0])], check=True, timeout=SECONDS)
    kernels = Path("edgelm", "corpus")  # compiled ones come along, or the first build takes half a minute
    shutil.copytree(ROOT / kernels / "__pycache__", target / kernels / "__pycache__", dirs_exist_ok=True)
    for path in (target / kernels).glob("*.py"):  # numba takes a kernel for stale by its source's time
        shutil.copystat(ROOT / kernels / path.name, path)
    return target


def run(installed: Path, place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`edgelm` of the wheel in `place`, with the packages of this environment."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-P", str(installed / "bin" / "edgelm"), *words],
        cwd=place,
        env={**environment, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def test_the_sdist_gives_the_same_wheel(built: tuple[Path, Path, Path]) -> None:
    contents = []
    for wheel in (built[0], built[2]):
        with zipfile.ZipFile(wheel) as archive:
            contents.append({one.filename: one.CRC for one in archive.infolist()})
    direct, again = contents
    assert direct == again


def test_the_wheel_has_every_file_of_the_checkout_that_it_wants(built: tuple[Path, Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        found = set(archive.namelist())
    listed = subprocess.run(
        ["git", "ls-files", "edgelm", "corpus", "export", "demo"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a checkout of git, which says which files are the project's")
    wanted = {
        one if one.startswith("edgelm/") else f"edgelm/_resources/{one}" for one in listed.stdout.split()
    }
    assert wanted - found == set()
    others = {one for one in found - wanted if ".dist-info/" not in one}
    assert others == set()


def test_the_sdist_has_its_tests_and_pages(built: tuple[Path, Path, Path]) -> None:
    source = built[1]
    for name in ("README.md", "LICENSE", "CHANGELOG.md", "docs/guide.md", "tests/conftest.py"):
        assert (source / name).is_file(), name


@pytest.mark.parametrize(
    "words",
    [
        ("--version",),
        ("run", "Namhlanje ekuseni", "--language", "zul", "--seed", "1", "--json"),
        ("run", "topics", "Iqembu liwine umdlalo izolo.", "--json"),
        ("corpus", "build", "sample", "-o", "corpus", "--workers", "1"),
    ],
    ids=" ".join,
)
def test_the_wheel_works_where_no_checkout_is(
    installed: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = run(installed, tmp_path, *words)
    assert done.returncode == 0, done.stderr
    if words[0] == "run":
        found = json.loads(done.stdout)
        assert found["labels"] if "topics" in words else found["text"]
    if words[0] == "corpus":
        assert "zul" in done.stdout
        assert list((tmp_path / "corpus" / "data" / "zul").glob("train-*.parquet"))


def test_it_is_the_wheel_that_works(installed: Path, tmp_path: Path) -> None:
    code = "import edgelm.resources; print(edgelm.resources.root())"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert Path(done.stdout.strip()) == installed / "edgelm" / "_resources"
