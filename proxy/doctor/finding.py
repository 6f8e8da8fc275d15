"""The findings of an examination, and how they are shown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console


class Verdict(StrEnum):
    """How bad it is; only a problem makes the check fail."""

    OK = "ok"
    ADVICE = "advice"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    verdict: Verdict
    subject: str
    text: str
    """In words for the person who runs the site; holds no secret and no signed URL."""
    remedy: str = ""
    """Lines for the configuration file, to be pasted."""


_STYLES = {Verdict.OK: "green", Verdict.ADVICE: "yellow", Verdict.PROBLEM: "bold red"}


def has_problems(findings: Sequence[Finding]) -> bool:
    """Say whether something has to be mended."""
    return any(finding.verdict is Verdict.PROBLEM for finding in findings)


def show(findings: Sequence[Finding], console: Console, *, with_summary: bool = True) -> None:
    """Print a table of the findings, and below it what to paste, in lines that no terminal's width breaks."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for finding in findings:
        style = _STYLES[finding.verdict]
        table.add_row(Text(finding.verdict, style), Text(finding.subject, "bold"), Text(finding.text))
    console.print(table)
    for remedy in dict.fromkeys(finding.remedy for finding in findings if finding.remedy):
        console.print(Text("\nFor the configuration file:"))
        console.print(Text(remedy), soft_wrap=True)
    if with_summary:
        console.print(Text(f"\n{_summary(findings)}"))


def _summary(findings: Sequence[Finding]) -> str:
    counts = {verdict: sum(finding.verdict is verdict for finding in findings) for verdict in Verdict}
    problems = counts[Verdict.PROBLEM]
    if not problems:
        return "All is well." if not counts[Verdict.ADVICE] else "All is well; see the advice."
    return "1 problem." if problems == 1 else f"{problems} problems."
