"""What a benchmark says of the machine: recorded systems, written down as files, and this one."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import edgecap
from edgecap import thermal
from edgecap.benchmark import cpu, firmware
from edgecap.benchmark.environment import Watch, versions
from edgecap.benchmark.occupancy import occupancy, quota
from edgecap.benchmark.report import from_dict
from tests.bench_documents import bench as made
from tests.processes import LIMIT_S, wait_for

FOUR = frozenset(range(4))
linux = pytest.mark.skipif(
    not Path("/proc/stat").exists() or not os.access("/proc/stat", os.R_OK),
    reason="needs /proc/stat",
)

PI_FEATURES = "fp asimd evtstrm crc32 cpuid"
PI5_FEATURES = "fp asimd evtstrm aes crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc asimddp"
X86_FLAGS = "fpu vme sse4_2 avx f16c rdrand avx2 fma bmi2 avx_vnni xsaveopt ibrs"


def write(root: Path, files: dict[str, str | int]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n", "utf-8")
    return root


def arm_cores(*parts: str, features: str) -> str:
    return "\n".join(
        f"processor\t: {n}\nBogoMIPS\t: 108.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\n"
        f"CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {part}\nCPU revision\t: 3\n"
        for n, part in enumerate(parts)
    )


def stat(busy: int, idle: int, *, steal: int = 0, cores: int = 4) -> str:
    """Each core so many ticks of 10 ms."""
    rows = [f"{busy} 0 0 {idle} 0 0 0 {steal} 0 0" for _ in range(cores)]
    return "\n".join(["cpu  1 2 3 4 5 6 7 8 9 0", *(f"cpu{n} {r}" for n, r in enumerate(rows))])


def frequency(mhz: int, *, highest: int, governor: str, driver: str = "cpufreq-dt") -> dict:
    found: dict[str, str | int] = {}
    for n in range(4):
        folder = f"sys/devices/system/cpu/cpu{n}/cpufreq"
        found |= {
            f"{folder}/scaling_cur_freq": mhz * 1000,
            f"{folder}/cpuinfo_max_freq": highest * 1000,
            f"{folder}/scaling_governor": governor,
            f"{folder}/scaling_driver": driver,
        }
    return found


ZONE = "sys/class/thermal/thermal_zone0"
THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"


@pytest.fixture
def pi4(tmp_path: Path) -> Path:
    info = arm_cores(*["0xd08"] * 4, features=PI_FEATURES)
    info += "\nRevision\t: c03114\nSerial\t\t: 10000000abcdef01\nModel\t\t: Raspberry Pi 4 Model B"
    files: dict[str, str | int] = {
        "proc/cpuinfo": info,
        "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
        "proc/meminfo": "MemTotal:        3884368 kB\nMemFree:         3000000 kB",
        "proc/loadavg": "0.08 0.03 0.01 1/150 1234",
        "proc/stat": stat(1000, 9000),
        "proc/self/cgroup": "0::/user.slice/user-1000.slice/session-1.scope",
        "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"',
        f"{ZONE}/type": "cpu-thermal",
        f"{ZONE}/temp": 52582,
        f"{ZONE}/trip_point_0_type": "critical",
        f"{ZONE}/trip_point_0_temp": 110000,
        THROTTLED: "0",
    }
    files |= frequency(1800, highest=1800, governor="ondemand")
    return write(tmp_path, files)


@pytest.fixture
def pi5(tmp_path: Path) -> Path:
    files: dict[str, str | int] = {
        "proc/cpuinfo": arm_cores(*["0xd0b"] * 4, features=PI5_FEATURES),
        "sys/firmware/devicetree/base/model": "Raspberry Pi 5 Model B Rev 1.0\0",
        "proc/stat": stat(1000, 9000),
        f"{ZONE}/type": "cpu-thermal",
        f"{ZONE}/temp": 61700,
        "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled": "0",
    }
    return write(tmp_path, files | frequency(2400, highest=2400, governor="ondemand"))


@pytest.fixture
def laptop(tmp_path: Path) -> Path:
    info = "\n".join(
        f"processor\t: {n}\nvendor_id\t: GenuineIntel\nmodel\t\t: 154\n"
        f"model name\t: 12th Gen Intel(R) Core(TM) i5-1240P\ncpu MHz\t\t: 3293.{n}\n"
        f"flags\t\t: {X86_FLAGS}\n"
        for n in range(4)
    )
    files: dict[str, str | int] = {
        "proc/cpuinfo": info,
        "proc/stat": stat(1000, 9000),
        f"{ZONE}/type": "acpitz",
        f"{ZONE}/temp": 0,
        "sys/class/thermal/thermal_zone1/type": "x86_pkg_temp",
        "sys/class/thermal/thermal_zone1/temp": 91000,
        "sys/class/thermal/thermal_zone1/trip_point_0_type": "passive",
        "sys/class/thermal/thermal_zone1/trip_point_0_temp": -274000,
        "sys/class/thermal/thermal_zone2/type": "iwlwifi_1",
        "sys/class/thermal/thermal_zone2/temp": 99000,
        "sys/class/thermal/cooling_device0/type": "Processor",
        "sys/class/thermal/cooling_device0/cur_state": 0,
        "sys/class/thermal/cooling_device1/type": "intel_powerclamp",
        "sys/class/thermal/cooling_device1/cur_state": -1,
        "sys/class/power_supply/AC/type": "Mains",
        "sys/class/power_supply/AC/online": 0,
        "sys/class/power_supply/BAT0/type": "Battery",
        "sys/class/power_supply/BAT0/status": "Discharging",
    }
    for n in range(4):
        files[f"sys/devices/system/cpu/cpu{n}/thermal_throttle/core_throttle_count"] = 12
    files |= frequency(3300, highest=4400, governor="powersave", driver="intel_pstate")
    return write(tmp_path, files)


@pytest.fixture
def phone(tmp_path: Path) -> Path:
    """As Termux sees Android: much of /proc and /sys is not for apps."""
    parts = ["0xd05"] * 4 + ["0xd41"] * 2 + ["0xd44"] * 2
    features = ["fp asimd asimdhp asimddp i8mm"] * 4 + ["fp asimd asimdhp asimddp i8mm sve"] * 4
    info = "\n".join(
        f"processor\t: {n}\nFeatures\t: {told}\nCPU implementer\t: 0x41\nCPU part\t: {part}\n"
        for n, (part, told) in enumerate(zip(parts, features, strict=True))
    )
    for name in ("proc/stat", "proc/loadavg", "sys/class/thermal"):
        # In place of what may not be opened: reading a folder as a file, a file as a folder.
        if name.startswith("proc"):
            (tmp_path / name).mkdir(parents=True)
    return write(
        tmp_path,
        {
            "proc/cpuinfo": info,
            "sys/class/thermal": "no folder",
            "system/build.prop": "# begin\nro.product.model=Pixel 6\nro.build.id=X",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": 1803000,
            "sys/devices/system/cpu/cpu4/cpufreq/scaling_cur_freq": "<unknown>",
        },
    )


def test_a_raspberry_pi_4_is_told_as_it_is(pi4: Path) -> None:
    found = Watch(pi4, cores=FOUR).environment()
    assert found.cpu == "Cortex-A72"
    assert found.features == ("asimd",)
    assert found.board == "Raspberry Pi 4 Model B Rev 1.4"
    assert found.cores == 4
    assert found.memory_mb == pytest.approx(3977.6)
    assert "Debian GNU/Linux 12 (bookworm)" in found.system
    assert found.before.frequencies_mhz == (1800,) * 4
    assert found.before.governors == ("ondemand",)
    assert found.before.temperature_c == pytest.approx(52.582)
    assert found.before.throttled == ()
    assert found.before.load == 0.08
    assert found.before.busy is None
    assert found.disturbed == ()
    assert "with the governor ondemand the first steps after a rest are slow" in found.notes
    assert "abcdef01" not in json.dumps(dataclasses.asdict(found)), "a serial number is nobody's"


def test_a_raspberry_pi_5_is_told_as_it_is(pi5: Path) -> None:
    found = Watch(pi5, cores=FOUR).environment()
    assert (found.cpu, found.board) == ("Cortex-A76", "Raspberry Pi 5 Model B Rev 1.0")
    assert found.features == ("asimd", "asimdhp", "asimddp")
    assert found.before.throttled == ()
    assert found.disturbed == ()


def test_a_laptop_is_told_as_it_is(laptop: Path) -> None:
    found = Watch(laptop, cores=FOUR).environment()
    assert found.cpu == "12th Gen Intel(R) Core(TM) i5-1240P"
    assert found.features == ("avx", "avx2", "fma", "f16c", "avx_vnni")
    assert found.board is None
    assert found.before.throttled is None
    # Not of the radio, and not of a zone without a sensor.
    assert found.before.temperature_c == 91
    # 91 °C is hot, but this processor counts when it slows itself, and it did not.
    assert found.disturbed == ()
    assert "with the governor powersave the first steps after a rest are slow" in found.notes
    assert "a battery feeds it: many systems are slower then" in found.notes


def test_a_phone_is_told_with_all_its_kinds_of_cores(phone: Path) -> None:
    found = Watch(phone, cores=frozenset(range(8))).environment()
    assert found.cpu == "4× Cortex-A55 + 2× Cortex-A78 + 2× Cortex-X1"
    # Only what every core has: a thread may run on any.
    assert found.features == ("asimd", "asimdhp", "asimddp", "i8mm")
    assert found.board == "Pixel 6"
    assert found.before.frequencies_mhz == (1803,)
    assert (found.before.load, found.before.temperature_c, found.after.busy) == (None, None, None)
    assert found.disturbed == ()
    assert any("not known" in note for note in found.notes)


def test_where_nothing_is_told_nothing_is_claimed(tmp_path: Path) -> None:
    found = Watch(tmp_path / "absent", cores=FOUR).environment()
    assert found.cpu
    assert found.features == ()
    assert found.board is None
    assert all(value in ((), None) for value in dataclasses.asdict(found.after).values())
    assert found.disturbed == ()
    assert found.versions["edgecap"] == edgecap.__version__


@pytest.mark.parametrize(
    "content", ["", "\n\n", "cpu", "cpu0", "a b\nc", "²", "\0\0", "-1", "1", "nan", "9" * 5000]
)
def test_malformed_files_raise_nothing(laptop: Path, pi4: Path, content: str) -> None:
    # Both fixtures lie in the same folder: every file that any of them has.
    watch = Watch(laptop, cores=FOUR)
    for path in sorted(p for p in pi4.rglob("*") if p.is_file()):
        path.write_text(content, "utf-8")
    found = watch.environment()
    assert found.cpu
    assert found.after.temperature_c is None or found.after.temperature_c < 1
    Watch(laptop, cores=FOUR).environment()


def test_files_that_are_no_text_raise_nothing(pi4: Path) -> None:
    for path in sorted(p for p in pi4.rglob("*") if p.is_file()):
        path.write_bytes(bytes(range(128, 256)))
    found = Watch(pi4, cores=FOUR).environment()
    assert found.before.temperature_c is None


def test_it_is_written_as_json_and_read_again(pi4: Path) -> None:
    found = Watch(pi4, cores=FOUR).environment()
    document = dataclasses.replace(made(), environment=found)
    assert from_dict(json.loads(json.dumps(document.to_dict()))) == document


@pytest.mark.parametrize(
    ("before", "after", "names", "sentences"),
    [
        ("0", "1", ("under-voltage",), ["the firmware reports under-voltage after the run"]),
        (
            "2",
            "2",
            ("frequency capped",),
            ["the firmware reports frequency capped before and after the run"],
        ),
        ("4", "0", (), ["the firmware reports throttled before the run"]),
        (
            "0",
            "80000",
            ("soft temperature limit has occurred",),
            ["the firmware reports soft temperature limit during the run"],
        ),
        (
            "10000",
            "50000",
            ("under-voltage has occurred", "throttled has occurred"),
            ["the firmware reports throttled during the run"],
        ),
        ("50000", "50000", ("under-voltage has occurred", "throttled has occurred"), []),
    ],
)
def test_what_the_firmware_says_of_the_run_disturbs_it(
    pi4: Path, before: str, after: str, names: tuple[str, ...], sentences: list[str]
) -> None:
    write(pi4, {THROTTLED: before})
    watch = Watch(pi4, cores=FOUR)
    write(pi4, {THROTTLED: after})
    found = watch.environment()
    assert found.after.throttled == names
    assert list(found.disturbed) == sentences
    earlier = any("had reported under-voltage" in note for note in found.notes)
    assert earlier == (before.startswith(("1", "5")))


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_vcgencmd_is_asked_first_as_it_remembers_since_the_start(
    pi4: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    program = pi4 / "usr/bin/vcgencmd"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x50005\n')
    program.chmod(0o755)
    told = ("under-voltage", "throttled", "under-voltage has occurred", "throttled has occurred")
    assert firmware.throttled(pi4) == told
    # A user who may not ask is told so in words; then the kernel's file counts.
    program.write_text("#!/bin/sh\necho VCHI initialization failed; exit 255\n")
    assert firmware.throttled(pi4) == ()
    program.write_text("no program")
    assert firmware.throttled(pi4) == ()


def test_an_alarm_of_the_voltage_is_seen_where_the_kernel_tells_no_more(pi4: Path) -> None:
    (pi4 / THROTTLED).unlink()
    alarm = "sys/class/hwmon/hwmon2/in0_lcrit_alarm"
    write(pi4, {"sys/class/hwmon/hwmon2/name": "rpi_volt", alarm: 0})
    watch = Watch(pi4, cores=FOUR)
    assert watch.environment().before.throttled is None
    write(pi4, {alarm: 1})
    assert watch.environment().disturbed == ("the firmware reports under-voltage during the run",)


def test_a_fallen_frequency_disturbs(pi4: Path) -> None:
    watch = Watch(pi4, cores=FOUR)
    write(pi4, frequency(1750, highest=1800, governor="ondemand"))
    assert watch.environment().disturbed == ()
    write(pi4, frequency(1000, highest=1800, governor="ondemand"))
    assert watch.environment().disturbed == (
        "the processor's frequency fell from 1800 to 1000 MHz",
    )


def test_a_risen_frequency_disturbs(pi4: Path) -> None:
    write(pi4, frequency(600, highest=1800, governor="powersave"))
    watch = Watch(pi4, cores=FOUR)
    found = watch.environment()
    assert found.disturbed == ()
    assert "the governor powersave keeps the processor at its lowest frequency" in found.notes
    write(pi4, frequency(1800, highest=1800, governor="powersave"))
    (sentence,) = watch.environment().disturbed
    assert sentence.startswith("the processor's frequency rose from 600 to 1800 MHz")


def test_unlike_cores_at_their_own_highest_are_no_fall(tmp_path: Path) -> None:
    def core(n: int, mhz: int, highest: int) -> dict[str, str | int]:
        folder = f"sys/devices/system/cpu/cpu{n}/cpufreq"
        return {
            f"{folder}/scaling_cur_freq": mhz * 1000,
            f"{folder}/cpuinfo_max_freq": highest * 1000,
        }

    write(tmp_path, core(0, 500, 1800) | core(1, 2800, 2800))
    watch = Watch(tmp_path, cores=FOUR)
    # The reading itself ran on the big core first, and now on the little one.
    write(tmp_path, core(0, 1800, 1800) | core(1, 500, 2800))
    assert watch.environment().disturbed == ()


def test_heat_disturbs_from_80_degrees_or_where_the_kernel_begins_to_slow(pi4: Path) -> None:
    watch = Watch(pi4, cores=FOUR)
    write(pi4, {f"{ZONE}/temp": 79900})
    assert watch.environment().disturbed == ()
    write(pi4, {f"{ZONE}/temp": 80100})
    assert watch.environment().disturbed == (
        "cpu-thermal was at 80 °C, and is slowed from 80 °C on",
    )
    write(pi4, {f"{ZONE}/trip_point_1_type": "passive", f"{ZONE}/trip_point_1_temp": 85000})
    assert watch.environment().disturbed == ()
    write(pi4, {f"{ZONE}/temp": 85000})
    assert len(watch.environment().disturbed) == 1
    # Hot before, cool after: it was slowed in the beginning.
    hot = Watch(pi4, cores=FOUR)
    write(pi4, {f"{ZONE}/temp": 50000})
    assert len(hot.environment().disturbed) == 1


def test_a_processor_that_counts_its_throttling_is_believed(laptop: Path) -> None:
    watch = Watch(laptop, cores=FOUR)
    write(laptop, {"sys/devices/system/cpu/cpu2/thermal_throttle/core_throttle_count": 15})
    assert watch.environment().disturbed == ("the processor slowed itself because of heat 3 times",)


def test_cooling_by_the_kernel_disturbs(laptop: Path) -> None:
    watch = Watch(laptop, cores=FOUR)
    write(laptop, {"sys/class/thermal/cooling_device0/cur_state": 3})
    (sentence,) = watch.environment().disturbed
    assert sentence == "the kernel holds the processor back because of heat (Processor at step 3)"


def test_what_others_and_a_hypervisor_take_disturbs(pi4: Path) -> None:
    watch = Watch(pi4, cores=FOUR)
    # An hour later, so that what this test itself computes meanwhile does not show.
    write(pi4, {"proc/stat": stat(1000 + 108_000, 9000 + 252_000)})
    found = watch.environment()
    assert found.after.busy == pytest.approx(0.3, abs=0.01)
    assert found.disturbed == ("other processes took 30% of the time of 4 processors",)
    write(pi4, {"proc/stat": stat(1000 + 18_000, 9000 + 324_000, steal=18_000)})
    found = watch.environment()
    assert found.after.busy == pytest.approx(0.05, abs=0.01)
    assert found.after.steal == pytest.approx(0.05, abs=0.01)
    assert found.disturbed == ("the hypervisor took 5% of the time of 4 processors",)


def test_only_the_processors_that_may_be_used_count(pi4: Path) -> None:
    watch = Watch(pi4, cores=frozenset({3}))
    rows = stat(1000, 9000 + 360_000).splitlines()
    rows[1] = "cpu0 361000 0 0 9000 0 0 0 0 0 0"
    write(pi4, {"proc/stat": "\n".join(rows)})
    found = watch.environment()
    assert found.cores == 1
    assert found.after.busy == pytest.approx(0, abs=0.01)
    assert found.disturbed == ()


def test_of_a_moment_no_share_is_told(pi4: Path) -> None:
    watch = Watch(pi4, cores=FOUR)
    write(pi4, {"proc/stat": stat(1001, 9001)})
    assert watch.environment().after.busy is None


def test_the_load_before_is_a_note_where_the_load_during_is_known(pi4: Path) -> None:
    write(pi4, {"proc/loadavg": "2.50 1.00 0.50 1/150 1234"})
    watch = Watch(pi4, cores=FOUR)
    sentence = "the load of the minute before was 2.5 on 4 processors"
    write(pi4, {"proc/stat": stat(1000, 9000 + 360_000)})
    found = watch.environment()
    assert found.disturbed == ()
    assert sentence in found.notes
    (pi4 / "proc/stat").unlink()
    found = watch.environment()
    assert found.disturbed == (sentence,)
    assert sentence not in found.notes


@pytest.mark.parametrize(
    "files",
    [
        {
            "proc/self/cgroup": "0::/docker/abc",
            "sys/fs/cgroup/docker/cpu.max": "150000 100000",
            "sys/fs/cgroup/docker/abc/cpu.max": "max 100000",
            "sys/fs/cgroup/docker/cpu.stat": "usage_usec 5\nnr_periods 9\nnr_throttled 7",
        },
        # Inside the container its group is the root.
        {
            "proc/self/cgroup": "0::/",
            "sys/fs/cgroup/cpu.max": "150000 100000",
            "sys/fs/cgroup/cpu.stat": "nr_throttled 7",
        },
        # The first version, and the name as it is outside.
        {
            "proc/self/cgroup": "9:name=systemd:/\n4:cpu,cpuacct:/docker/abc\n1:memory:/docker/abc",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/cpu/cpu.stat": "nr_periods 9\nnr_throttled 7\nthrottled_time 1",
        },
    ],
    ids=["version 2", "inside", "version 1"],
)
def test_a_containers_limit_is_told_and_disturbs_once_it_holds_back(
    tmp_path: Path, files: dict[str, str | int]
) -> None:
    write(tmp_path, files)
    watch = Watch(tmp_path, cores=FOUR)
    found = watch.environment()
    assert "the container may use 1.5 of 4 processors" in found.notes
    assert found.disturbed == ()
    counts = next(name for name in files if name.endswith("cpu.stat"))
    write(tmp_path, {counts: "nr_throttled 20"})
    (sentence,) = watch.environment().disturbed
    assert sentence == "the container's limit of 1.5 processors held it back 13 times"


def test_no_limit_is_none(pi4: Path) -> None:
    assert quota(pi4) is None
    write(pi4, {"sys/fs/cgroup/user.slice/cpu.max": "max 100000"})
    assert quota(pi4) is None


def test_32_bit_arm_is_told_by_its_parts_and_neon(tmp_path: Path) -> None:
    info = (
        "processor\t: 0\nmodel name\t: ARMv7 Processor rev 5 (v7l)\n"
        "Features\t: half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva lpae evtstrm\n"
        "CPU implementer\t: 0x41\nCPU part\t: 0xc07\n\nHardware\t: BCM2835\n"
        "Revision\t: a01041\nSerial\t\t: 00000000abc\nModel\t\t: Raspberry Pi 2 Model B Rev 1.1"
    )
    write(tmp_path, {"proc/cpuinfo": info})
    assert cpu.cpu_name(tmp_path) == "Cortex-A7"
    assert cpu.cpu_features(tmp_path) == ("neon",)
    assert cpu.board(tmp_path) == "Raspberry Pi 2 Model B Rev 1.1"


def test_an_unknown_part_is_told_by_its_numbers(tmp_path: Path) -> None:
    write(tmp_path, {"proc/cpuinfo": arm_cores("0xfff", features=PI_FEATURES)})
    assert cpu.cpu_name(tmp_path) == "Arm implementer 0x41, part 0xfff"


def test_the_hottest_zone_of_the_processor_counts(tmp_path: Path) -> None:
    zones = [("cpu-thermal", 48200), ("gpu-thermal", 51000), ("battery", 95000), ("x", -273000)]
    for n, (kind, value) in enumerate(zones):
        folder = f"sys/class/thermal/thermal_zone{n + 9}"
        write(tmp_path, {f"{folder}/type": kind, f"{folder}/temp": value})
    assert thermal.temperature_c(tmp_path) == 51
    assert thermal.temperature_c(tmp_path / "absent") is None


def test_versions_are_those_that_are_installed() -> None:
    found = versions()
    assert found["edgecap"] == edgecap.__version__
    assert "numpy" in found
    assert "no-such-package" not in found


# On this machine, with real processes.

BURN_S = 0.8
BURN = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass\n"


@pytest.fixture
def two_cores() -> Iterator[frozenset[int]]:
    """This process and what it starts stay on two processors, so that few can make them busy."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("needs affinity")
    all_of_them = os.sched_getaffinity(0)
    chosen = frozenset(sorted(all_of_them)[:2])
    os.sched_setaffinity(0, chosen)
    yield chosen
    os.sched_setaffinity(0, all_of_them)


@linux
def test_real_load_of_others_is_seen(two_cores: frozenset[int], tmp_path: Path) -> None:
    # Their parent ends at once: they are nobody's children here, as any other program.
    code = BURN.format(1.5) + f"open({str(tmp_path)!r} + '/' + str(__import__('os').getpid()), 'w')"
    parent = (
        "import subprocess, sys\n"
        f"for _ in range({len(two_cores)}): subprocess.Popen([sys.executable, '-c', {code!r}])"
    )
    watch = Watch()
    subprocess.run([sys.executable, "-c", parent], check=True, timeout=LIMIT_S)
    wait_for(lambda: len(list(tmp_path.iterdir())) == len(two_cores))
    found = watch.environment()
    assert found.cores == len(two_cores)
    # They computed longer than they took to start: with nobody else here, most of the time since.
    assert (found.after.busy or 0) > 0.3
    assert any("other processes took" in sentence for sentence in found.disturbed)


def share_of_all(before: list[int], after: list[int]) -> tuple[float, float]:
    """Busy share of all who ran, and the seconds of the processors together."""
    delta = [b - a for a, b in zip(before, after, strict=True)]
    total = sum(delta[:8])
    return (total - delta[3] - delta[4] - delta[7]) / total, total / os.sysconf("SC_CLK_TCK")


def ticks(cores: frozenset[int]) -> list[int]:
    rows = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    mine = [
        [int(v) for v in row[1:]] for row in rows if row and row[0] in {f"cpu{n}" for n in cores}
    ]
    return [sum(column) for column in zip(*mine, strict=True)]


def burn_here() -> None:
    end_s = time.thread_time() + BURN_S
    while time.thread_time() < end_s:
        pass


def burn_in_a_child_that_ends() -> None:
    subprocess.run([sys.executable, "-c", BURN.format(BURN_S)], check=True, timeout=LIMIT_S)


def burn_in_a_thread() -> None:
    thread = threading.Thread(target=burn_here)
    thread.start()
    thread.join()


@linux
@pytest.mark.parametrize("burn", [burn_here, burn_in_a_thread, burn_in_a_child_that_ends])
def test_own_work_is_not_that_of_others(burn: object, two_cores: frozenset[int]) -> None:
    watch = Watch()
    before = ticks(two_cores)
    assert callable(burn)
    burn()
    found = watch.environment()
    share, seconds = share_of_all(before, ticks(two_cores))
    # Whatever others did meanwhile: what was done here is not theirs. Half of it is room for what
    # they did between this reading of the counters and that.
    assert found.after.busy is not None
    assert found.after.busy <= share - BURN_S / 2 / seconds


@linux
def test_work_of_a_child_that_still_lives_is_own_too(two_cores: frozenset[int]) -> None:
    code = BURN.format(0.5) + "print('done', flush=True); input()"
    start = occupancy(Path("/"), two_cores)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == b"done"
        living = occupancy(Path("/"), two_cores)
        child.communicate(b"\n", timeout=LIMIT_S)
    ended = occupancy(Path("/"), two_cores)
    assert living.own_s - start.own_s > 0.45
    # And not twice once it has ended.
    assert ended.own_s - living.own_s < 0.3


@linux
def test_this_machine_is_told_without_delay() -> None:
    began = time.process_time()
    found = Watch().environment()
    # Its own work alone: what others do to the machine is not in it.
    assert time.process_time() - began < 2.0
    assert found.cpu != "unknown"
    assert found.cores == len(os.sched_getaffinity(0))
    assert (found.memory_mb or 0) > 100
    assert found.before.load is not None


def test_what_a_benchmark_script_publishes_says_what_disturbed_it(tmp_path: Path) -> None:
    folder = Path(edgecap.__file__).parent.parent / "benchmarks"
    if not folder.is_dir():
        pytest.skip("the benchmarks are not beside edgecap here")
    script = tmp_path / "small.py"
    script.write_text(
        '"""A small one."""\nimport record\n'
        "arguments = record.parser(__doc__).parse_args()\n"
        "record.publish({'answer': 42}, arguments)\n"
    )
    out = tmp_path / "out.json"
    python_path = os.pathsep.join([str(folder), str(folder.parent)])
    subprocess.run(
        [sys.executable, str(script), "--json", str(out)],
        env=os.environ | {"PYTHONPATH": python_path},
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=LIMIT_S,
    )
    environment = SimpleNamespace(**json.loads(out.read_text())["environment"])
    # What published results have had from the first.
    assert environment.cpu
    assert environment.cores >= 1
    assert environment.machine
    assert environment.system
    assert environment.python
    assert environment.load_1min == environment.after["load"]
    assert environment.versions["edgecap"] == edgecap.__version__
    # And what came with this.
    assert isinstance(environment.disturbed, list)
    assert environment.before["governors"] == environment.after["governors"]
