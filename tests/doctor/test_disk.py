"""The directory of the tier on disk."""

from __future__ import annotations

from pathlib import Path

from proxy.doctor.disk import examine_disk
from proxy.doctor.finding import Finding, Verdict
from proxy.settings import DiskSettings


def examined(path: Path, mounts: Path = Path("/proc/self/mounts"), **values: int) -> Finding:
    """Examine a directory that there is one finding about."""
    [finding] = examine_disk(DiskSettings.model_validate({"path": path} | values), mounts)
    return finding


def test_nothing_is_said_where_there_is_none() -> None:
    assert examine_disk(DiskSettings()) == []


def test_a_directory_with_room_is_well(tmp_path: Path) -> None:
    """Also one that has still to be made; nothing is left in it."""
    folder = tmp_path / "cache"
    assert examined(folder).verdict is Verdict.OK
    folder.mkdir(mode=0o700)
    assert examined(folder).verdict is Verdict.OK
    assert list(folder.iterdir()) == []


def test_a_disk_with_less_room_than_the_tier_may_take_is_advice(tmp_path: Path) -> None:
    """It would be full before the tier is."""
    finding = examined(tmp_path / "cache", max_bytes=1 << 60)
    assert finding.verdict is Verdict.ADVICE
    assert "disk.max_bytes" in finding.text


def test_a_directory_that_cannot_be_written_to_is_a_problem() -> None:
    finding = examined(Path("/proc/sys/cache"))
    assert finding.verdict is Verdict.PROBLEM
    assert "user " in finding.text


def test_the_disk_of_another_machine_is_a_problem(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nnas:/x {tmp_path} nfs4 rw 0 0\n")
    assert "nfs4" in examined(tmp_path / "cache", mounts).text
    mounts.write_text(f"nas:/x / nfs4 rw 0 0\n/dev/sda {tmp_path} ext4 rw 0 0\n")
    assert examined(tmp_path / "cache", mounts).verdict is Verdict.OK
