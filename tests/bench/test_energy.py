"""RAPL's counters, in a folder as Linux shows them."""

from pathlib import Path

import pytest

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
