"""The shipped files as they are, on a new Debian that is really started, by the lines of the documents alone."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.deploy.fresh_root import LONGEST_S, PACKAGES, PROJECT, ROOT, FreshRoot

pytestmark = [
    pytest.mark.needs("mmdebstrap"),
    pytest.mark.needs("systemd-nspawn"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a machine in a directory"),
    pytest.mark.timeout(2 * LONGEST_S),
]

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
DEPLOYMENT = (ROOT / "docs" / "deployment.md").read_text()
SECTION = DEPLOYMENT.partition("## On one machine, without containers")[2].partition("\n## ")[0]
LINES = "".join(re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL))
COMMANDS = (ROOT / "docs" / "operation.md").read_text().partition("## Commands")[2]
COMMANDS = COMMANDS.partition("```sh\n")[2].partition("```")[0]
ASKING = (
    (ROOT / "README.md").read_text().partition("Then ask the doctor")[2].partition("```sh\n")[2].partition("```")[0]
)
CLOUDREVE = """\
import asyncio, pathlib
from proxy.standin.standin import StandIn

async def main():
    async with StandIn(port=5212) as cloudreve:
        cloudreve.site_url = "https://cloud.example.com"
        pathlib.Path("/share").write_text(cloudreve.library.share.id)
        await asyncio.Event().wait()

asyncio.run(main())
"""
VISITOR = """\
import http.client, pathlib, ssl, sys, time
HEADERS = {"Host": "cloud.example.com", "Accept": "image/webp"}
host, scheme, name = (*sys.argv[1:], *("127.0.0.1", "http", "one.png")[len(sys.argv) - 1 :])
trusting = ssl.create_default_context(cafile="/etc/ssl/site.pem") if scheme == "https" else None
if trusting:
    connection = http.client.HTTPSConnection(host, context=trusting)
else:
    connection = http.client.HTTPConnection(host)
target = f"/thumb?uri=cloudreve://{pathlib.Path('/share').read_text()}@share/{name}"
for _ in range(100):  # a reload of nginx is done some time after the command
    connection.request("GET", target, headers=HEADERS)
    answer = connection.getresponse()
    if answer.status != 404:
        break
    connection.close()  # the old worker keeps its connections
    time.sleep(0.1)
print("answer", answer.status, answer.headers["Content-Type"], answer.headers["Cache-Status"])
if trusting:
    answer.read()
    connection.request("GET", "/api/v4/site/ping", headers={"Host": "cloud.example.com"})
    print("answer", connection.getresponse().read())
"""
SCRIPT = """\
serves() {
  systemd-run --quiet --unit="$1" "$PWD/deploy/run"
  timeout 60 sh -c 'until curl --silent --fail --output /answer http://127.0.0.1:8080/; do sleep 0.1; done'
  systemctl stop "$1"
  sed "s/^/$1: /" /answer
}
serves demo
systemd-run --quiet --unit=cloudreve .venv/bin/python /cloudreve.py
timeout 30 sh -c 'until [ -e /share ]; do sleep 0.1; done'
@LINES@
nginx -t
systemd-analyze verify --man=no --recursive-errors=no thumb-proxy@8080.service 2>&1 | sed 's/^/verify: /'
.venv/bin/python /visitor.py
systemctl reload thumb-proxy@8080
timeout 60 sh -c 'until journalctl --unit=thumb-proxy@8080 | grep --quiet "\"reloaded\""; do sleep 0.2; done'
.venv/bin/python /visitor.py
systemctl show --property=Result,NRestarts thumb-proxy@8080 thumb-proxy@8081
stat --format='mode %a %U %n' /etc/thumb-proxy/secrets/*
journalctl --quiet --output=cat --unit='thumb-proxy@*'
deploy/run install --remove
ls -d /etc/thumb-proxy /etc/systemd/system/thumb-proxy@.service /etc/nginx/conf.d/* /var/cache/*thumb-proxy 2>&- |
  sed 's/^/left: /'
grep thumb-proxy /etc/passwd | sed 's/^/left: /'
"""
ANSWERS = """\
http://127.0.0.1:5212
https://cloud.example.com
n



"""
"""To the questions of `init`, in their order: an empty line takes the default."""
PICTURE = re.compile("200 image/(?:webp|png) thumb-proxy; fwd=miss")
"""Shown for the first time: as it is where a busy machine encodes too late."""


WHOLE_SITE = """\
ip link add outside type veth peer name visitor
ip netns add elsewhere
ip link set visitor netns elsewhere
ip address add 10.9.0.1/24 dev outside
ip link set outside up
ip -netns elsewhere address add 10.9.0.2/24 dev visitor
ip -netns elsewhere link set visitor up
echo 10.9.0.1 cloud.example.com >>/etc/hosts
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=cloud.example.com \\
  -addext subjectAltName=DNS:cloud.example.com -keyout /etc/ssl/site.key -out /etc/ssl/site.pem 2>&-
systemctl enable --now redis-server
systemd-run --quiet --unit=cloudreve .venv/bin/python /cloudreve.py
rm --force /share
timeout 30 sh -c 'until [ -e /share ]; do sleep 0.1; done'
set_up() {
  picture=$1
  shift
  deploy/run init --no-input --force --cloudreve-url http://127.0.0.1:5212 \\
    --public-origin https://cloud.example.com "$@"
  deploy/run install --name cloud.example.com --certificate /etc/ssl/site.pem --key /etc/ssl/site.key
  ip netns exec elsewhere .venv/bin/python /visitor.py cloud.example.com https "$picture"
}
set_up one.png --thumbnails-only --redis-url redis://127.0.0.1:6379/0
set_up two.png --whole-site
set_up three.png --whole-site --redis-url redis://127.0.0.1:6379/0
ip netns exec elsewhere .venv/bin/python /visitor.py cloud.example.com http
redis-cli dbsize | sed 's/^/keys: /'
export SSL_CERT_FILE=/etc/ssl/site.pem
@ASKING@
.venv/bin/python -c "print('saved', open('picture.png', 'rb').read(8))"
(
@COMMANDS@)
deploy/run install --remove
"""
"""Thumbnails alone and the whole site, with a Redis and without, by https, for a visitor on another machine."""


@pytest.fixture(scope="module")
def told(machine: FreshRoot) -> str:
    """Do all that the document says, line by line, and ask for a picture; give what was printed."""
    return machine.boot(SCRIPT.replace("@LINES@", _without_installation(LINES)))


@pytest.fixture(scope="module")
def whole_site(machine: FreshRoot, told: str) -> str:
    """Set the same machine up once more, and otherwise; give what was printed."""
    asking = ASKING.replace("SHARE", "$(cat /share)").replace("picture.jpg", "one.png")
    return machine.boot(WHOLE_SITE.replace("@ASKING@", asking).replace("@COMMANDS@", COMMANDS))


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, debian: Path) -> FreshRoot:
    """Make a Debian with the packages, the project, a stand-in for Cloudreve and a visitor."""
    root = FreshRoot(tmp_path_factory.mktemp("fresh") / "root").make(debian)
    root.put_project()
    (root.folder / "cloudreve.py").write_text(CLOUDREVE)
    (root.folder / "visitor.py").write_text(VISITOR)
    root.run(f"{PROJECT}/deploy/run", "--version")  # where there is a network
    return root


def test_nginx_takes_the_files(told: str) -> None:
    assert told.count("syntax is ok") == told.count("test is successful") == 1
    assert "[warn]" not in told


def test_systemd_takes_the_unit_and_starts_it(told: str) -> None:
    assert told.count("Result=success\nNRestarts=0\n") == 2
    assert told.count('"event":"serving","host"') == 2
    assert '"level":"error"' not in told
    assert '"event":"an encoder' not in told
    assert "\nverify: " not in told


def test_a_visitor_sees_a_picture(told: str) -> None:
    """Through nginx, from a gateway that has asked Cloudreve."""
    assert re.search(rf"^answer {PICTURE.pattern}", told, re.MULTILINE), told


def test_a_reload_is_taken(told: str) -> None:
    """By `systemctl reload`; the port answers as before."""
    assert '"event":"reloaded"' in told
    answers = re.findall(r"^answer .*$", told, re.MULTILINE)
    assert [line[:17] for line in answers] == ["answer 200 image/"] * 2, answers


def test_secrets_are_the_services_alone(told: str) -> None:
    assert re.findall("^mode (.*)$", told, re.MULTILINE) == ["600 thumb-proxy /etc/thumb-proxy/secrets/seal__keys"]


def test_the_demo_and_a_site_without_installation_are_served(told: str) -> None:
    """By `deploy/run` alone, before `init` and after it."""
    assert re.search("^demo: .*<html", told, re.MULTILINE | re.IGNORECASE), told
    assert re.search("^site: .*thumb-proxy", told, re.MULTILINE)


def test_every_kind_of_site_is_served_by_https_to_another_machine(whole_site: str) -> None:
    """Pictures and Cloudreve's own answers; http leads to https, and Redis keeps what was shown."""
    answers = re.findall("^answer (.*)$", whole_site, re.MULTILINE)
    assert answers[1:6:2] == ['b\'{"code":0,"data":"4.14.0","msg":""}\''] * 3, whole_site
    assert all(PICTURE.match(answer) for answer in answers[:6:2]), answers
    assert answers[6:] == ["301 text/html None"]
    assert re.search(r"^keys: [1-9]", whole_site, re.MULTILINE)


def test_the_doctor_finds_that_whole_site_well(whole_site: str) -> None:
    """With the certificate trusted; that Redis has no limit is advice."""
    assert whole_site.count("All is well") == 2, whole_site
    assert "cloud.example.com leads to the gateway" in re.sub(r"\s+", " ", whole_site)


def test_the_readmes_picture_is_saved(whole_site: str) -> None:
    assert f"saved {PNG_MAGIC!r}" in whole_site


def test_commands_speak_to_the_service(whole_site: str) -> None:
    """By the lines of the document: all is purged at both instances."""
    assert re.search(r"^processes: [12]$", whole_site, re.MULTILINE), whole_site


def test_removing_leaves_nothing(told: str) -> None:
    assert "remove /etc/systemd/system/thumb-proxy@.service\n" in told
    assert re.findall("^left: .*$", told, re.MULTILINE) == []


def _without_installation(lines: str) -> str:
    """Leave out the line that installs packages, which has been done; answer what is asked."""
    packages = [word for line in lines.splitlines() if line.startswith("apt-get") for word in line.split()[3:]]
    assert set(packages) <= set(PACKAGES)
    kept = "\n".join(line for line in lines.splitlines() if not line.startswith("apt-get"))
    assert kept.count("deploy/run init\n") == 1
    return kept.replace("deploy/run init\n", f"deploy/run init <<'ANSWERS'\n{ANSWERS}ANSWERS\nserves site\n")
