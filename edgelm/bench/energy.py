"""Energy that the processor took, where the machine tells: RAPL, as Linux shows it in /sys/class/powercap."""

from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


class EnergyMeter:
    """Joules since it was made, of the processor packages with all that runs on them; None where unknown.

    Linux lets only root read the counters unless told otherwise; macOS has none.
    """

    def __init__(self, folder: Path = POWERCAP):
        # intel-rapl:0 is a package, also on AMD; intel-rapl:0:1 a part of it, which would count twice
        self.packages = sorted(one for one in folder.glob("intel-rapl:*") if one.name.count(":") == 1)
        self.start = self._read("energy_uj")

    def joules(self) -> float | None:
        """The counters begin again at 0 after a while; once at most between two looks is allowed for."""
        now, ranges = self._read("energy_uj"), None
        if not self.start or now is None:
            return None
        micro = 0
        for number, (before, after) in enumerate(zip(self.start, now, strict=True)):
            micro += after - before
            if after < before:
                ranges = ranges or self._read("max_energy_range_uj")
                if ranges is None:
                    return None
                micro += ranges[number]
        return micro / 1e6

    def _read(self, name: str) -> list[int] | None:
        try:
            return [int((package / name).read_text()) for package in self.packages]
        except (OSError, ValueError):
            return None
