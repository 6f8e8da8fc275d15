"""The shipped files as they are, on a Debian on which nothing was done but what the documents say."""

from __future__ import annotations

import os
import re

import pytest

from tests.deploy.fresh_root import LONGEST_S, PACKAGES, ROOT, FreshRoot

pytestmark = [
    pytest.mark.needs("mmdebstrap"),
    pytest.mark.needs("unshare"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a root directory of its own"),
    pytest.mark.timeout(LONGEST_S),
    pytest.mark.xdist_group("fresh_root"),
]

LINES = re.findall(
    r"```sh\n(.*?)```",
    (ROOT / "docs" / "deployment.md")
    .read_text()
    .partition("## On one machine, without containers")[2]
    .partition("\n## ")[0],
    re.DOTALL,
)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> FreshRoot:
    """Make the machine, and do there all that the document says, line by line."""
    root = FreshRoot(tmp_path_factory.mktemp("fresh") / "root").make()
    root.put_project()
    for lines in LINES:
        root.script(_without_installation(lines))
    return root


def _without_installation(lines: str) -> str:
    """Leave out the line that installs packages, which has been done."""
    packages = [word for line in lines.splitlines() if line.startswith("apt-get") for word in line.split()[3:]]
    assert set(packages) <= {*PACKAGES, "openssl"}  # which comes with ca-certificates
    return "\n".join(line for line in lines.splitlines() if not line.startswith("apt-get"))


def test_nginx_takes_the_files(fresh: FreshRoot) -> None:
    """Without a warning; and it makes the directory of its cache."""
    told = fresh.run("nginx", "-t").splitlines()
    assert [line for line in told if "syntax is ok" not in line and "is successful" not in line] == []
    assert (fresh.folder / "var/cache/nginx-thumb-proxy").is_dir()


def test_systemd_takes_the_unit(fresh: FreshRoot) -> None:
    """With the program where the unit says, and enabled for three ports."""
    told = fresh.run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "thumb-proxy@8080.service")
    assert "thumb-proxy" not in told
    wanted = fresh.folder / "etc/systemd/system/multi-user.target.wants"
    assert len(list(wanted.glob("thumb-proxy@808?.service"))) == 3


def test_the_service_can_read_what_it_needs(fresh: FreshRoot) -> None:
    """As its user, without root's home: the program, the settings and the secrets."""
    [start] = re.findall(
        r"^ExecStart=(\S+) serve (.+)$", (ROOT / "deploy/systemd/thumb-proxy@.service").read_text(), re.MULTILINE
    )
    fresh.run("chmod", "700", "/root")
    as_user = ("setpriv", "--reuid=thumb-proxy", "--regid=thumb-proxy", "--clear-groups", "--no-new-privs", "env")
    told = fresh.run(*as_user, "THUMB_PROXY_SERVER__PORT=65536", start[0], "serve", *start[1].split(), fails=True)
    assert "there is a problem in the configuration" in told
    assert "THUMB_PROXY_SERVER__PORT" in told
