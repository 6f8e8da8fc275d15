"""The shipped files as they are, on a new Debian that is really started, by the lines of the documents alone."""

from __future__ import annotations

import os
import re

import pytest

from tests.deploy.fresh_root import LONGEST_S, PACKAGES, PROJECT, ROOT, FreshRoot

pytestmark = [
    pytest.mark.needs("mmdebstrap"),
    pytest.mark.needs("systemd-nspawn"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a machine in a directory"),
    pytest.mark.timeout(LONGEST_S),
    pytest.mark.xdist_group("fresh_root"),
]

DEPLOYMENT = (ROOT / "docs" / "deployment.md").read_text()
SECTION = DEPLOYMENT.partition("## On one machine, without containers")[2].partition("\n## ")[0]
LINES = "".join(re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL))
CLOUDREVE = """\
import asyncio, pathlib
from proxy.standin.standin import StandIn

async def main():
    async with StandIn(port=5212, size=(40, 30)) as cloudreve:
        cloudreve.site_url = "https://cloud.example.com"
        pathlib.Path("/share").write_text(cloudreve.library.share.id)
        await asyncio.Event().wait()

asyncio.run(main())
"""
VISITOR = """\
import http.client, pathlib
connection = http.client.HTTPConnection("127.0.0.1", 80)
target = f"/thumb?uri=cloudreve://{pathlib.Path('/share').read_text()}@share/one.png"
connection.request("GET", target, headers={"Host": "cloud.example.com"})
answer = connection.getresponse()
print("answer", answer.status, answer.headers["Content-Type"], answer.headers["Cache-Status"])
"""
SCRIPT = f"""\
systemd-run --quiet --unit=cloudreve .venv/bin/python /cloudreve.py
@LINES@
nginx -t
systemd-analyze verify --man=no --recursive-errors=no thumb-proxy@8080.service 2>&1 | sed 's/^/verify: /'
until [ -e /share ]; do sleep 0.1; done
for port in 8080 8081 8082; do
  until .venv/bin/python -c "import urllib.request as r; r.urlopen('http://127.0.0.1:$port/readyz')" 2>/dev/null
  do systemctl --quiet is-active thumb-proxy@$port; sleep 0.1; done
done
.venv/bin/python - <<'PYTHON'
{VISITOR}PYTHON
systemctl show --property=Result,NRestarts thumb-proxy@8080 thumb-proxy@8081 thumb-proxy@8082
systemctl stop 'thumb-proxy@*'
journalctl --quiet --output=cat --unit='thumb-proxy@*'
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Do all that the document says, line by line, and ask for a picture; give what was printed."""
    root = FreshRoot(tmp_path_factory.mktemp("fresh") / "root").make()
    root.put_project()
    (root.folder / "cloudreve.py").write_text(CLOUDREVE)
    root.run(f"{PROJECT}/deploy/run", "--version")  # where there is a network
    return root.boot(SCRIPT.replace("@LINES@", _without_installation(LINES)))


def test_nginx_takes_the_files(told: str) -> None:
    """Without a warning, before its first start and after."""
    assert told.count("syntax is ok") == told.count("test is successful") == 2
    assert "[warn]" not in told


def test_systemd_takes_the_unit_and_starts_it(told: str) -> None:
    """As often as the document says; none of them fails."""
    assert told.count("Result=success\nNRestarts=0\n") == 3
    assert told.count('"event":"serving"') == 3
    assert '"level":"error"' not in told
    assert "\nverify: " not in told


def test_a_visitor_sees_a_picture(told: str) -> None:
    """Through nginx, from a gateway that has asked Cloudreve."""
    assert re.search(r"^answer 200 image/\w+ thumb-proxy; fwd=miss", told, re.MULTILINE), told


def _without_installation(lines: str) -> str:
    """Leave out the line that installs packages, which has been done."""
    packages = [word for line in lines.splitlines() if line.startswith("apt-get") for word in line.split()[3:]]
    assert set(packages) <= set(PACKAGES)
    return "\n".join(line for line in lines.splitlines() if not line.startswith("apt-get"))
