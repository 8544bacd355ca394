"""RAPL's counters, in a folder as Linux shows them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import edgelm
from edgelm.bench.energy import EnergyMeter


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    for name, micro in (("intel-rapl:0", 1_000_000), ("intel-rapl:1", 9_000_000), ("intel-rapl:0:0", 5)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{micro}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("10000000\n")
    return tmp_path


def test_joules_of_all_packages_and_of_no_part_twice(powercap: Path) -> None:
    meter = EnergyMeter(powercap)
    (powercap / "intel-rapl:0" / "energy_uj").write_text("3500000")
    (powercap / "intel-rapl:0:0" / "energy_uj").write_text("2000000")
    assert meter.joules() == 2.5


def test_a_counter_that_began_again(powercap: Path) -> None:
    meter = EnergyMeter(powercap)
    (powercap / "intel-rapl:1" / "energy_uj").write_text("500000")
    assert meter.joules() == 1.5  # 1 to the end of its range, half of one after


def test_unknown_where_there_is_none_or_it_may_not_be_read(tmp_path: Path, powercap: Path) -> None:
    assert EnergyMeter(tmp_path / "none").joules() is None
    (powercap / "intel-rapl:1" / "energy_uj").unlink()
    assert EnergyMeter(powercap).joules() is None


def test_a_range_that_may_not_be_read_is_no_error(powercap: Path) -> None:
    meter = EnergyMeter(powercap)
    (powercap / "intel-rapl:0" / "max_energy_range_uj").unlink()
    (powercap / "intel-rapl:0" / "energy_uj").write_text("1500000")
    assert meter.joules() == 0.5  # no counter began again, so none is asked for its range
    (powercap / "intel-rapl:1" / "energy_uj").write_text("500000")
    assert meter.joules() is None


READ = """
import os, sys
from pathlib import Path
folder = Path(sys.argv[1])
os.chdir(folder)  # as its parents are this user's alone
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
from edgelm.bench.energy import EnergyMeter
found = Path("intel-rapl:0/energy_uj")
assert found.exists()
try:
    found.read_text()
except PermissionError:
    print(EnergyMeter(Path(".")).joules())
"""


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="files have no such permissions there")
def test_counters_that_only_root_may_read(powercap: Path) -> None:
    """As Linux has them since 2020."""
    powercap.chmod(0o755)
    for one in powercap.glob("intel-rapl:*"):
        one.chmod(0o755)
        (one / "energy_uj").chmod(0o400 if os.geteuid() == 0 else 0o000)
    source = Path(edgelm.__file__).parents[1]
    code = f"import sys; sys.path.insert(0, {str(source)!r})\nimport edgelm.bench.energy\n{READ}"
    done = subprocess.run([sys.executable, "-c", code, str(powercap)], capture_output=True, text=True)
    assert done.stdout == "None\n", done.stderr
