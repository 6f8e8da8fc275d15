"""How findings are shown."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from proxy.doctor.finding import Finding, Verdict, has_problems, show

LONG = "public_origins = [" + ", ".join(f'"https://cloud-{number}.example.com"' for number in range(9)) + "]"


def shown(*findings: Finding) -> str:
    console = Console(file=StringIO(), width=60)
    show(findings, console)
    file = console.file
    assert isinstance(file, StringIO)
    return file.getvalue()


def test_a_line_to_paste_is_never_broken() -> None:
    text = shown(Finding(Verdict.PROBLEM, "image URL", "An origin is missing.", f"[cloudreve]\n{LONG}"))
    assert LONG in text.splitlines()


def test_text_that_looks_like_markup_is_shown_unchanged() -> None:
    assert "[red]x[/red]" in shown(Finding(Verdict.OK, "s", "[red]x[/red]"))


@pytest.mark.parametrize(
    ("verdicts", "summary"),
    [
        ((Verdict.OK,), "All is well."),
        ((Verdict.OK, Verdict.ADVICE), "All is well; see the advice."),
        ((Verdict.PROBLEM,), "1 problem."),
        ((Verdict.PROBLEM, Verdict.PROBLEM, Verdict.ADVICE), "2 problems."),
    ],
)
def test_the_last_line_sums_up(verdicts: tuple[Verdict, ...], summary: str) -> None:
    findings = [Finding(verdict, "s", "t") for verdict in verdicts]
    assert shown(*findings).splitlines()[-1] == summary
    assert has_problems(findings) == ("problem" in summary)
