"""The one table that is printed."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich import box
from rich.console import Console
from rich.table import Table

_HEADINGS = ("what", "gateway", "nginx", "ratio", "goal", "", "CPU us each, user + system")


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what was measured, here and of nginx or whatever it is held against, and what it should be."""

    what: str
    here: str
    there: str = ""
    ratio: str = ""
    goal: str = ""
    is_reached: bool | None = None
    spent: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """Give the texts of its columns."""
        verdict = {None: "", True: "yes", False: "NO"}[self.is_reached]
        return (self.what, self.here, self.there, self.ratio, self.goal, verdict, self.spent)


@dataclass(slots=True)
class Report:
    """Rows as they come, and remarks on how they came about."""

    rows: list[Row] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def show(self, console: Console) -> None:
        """Print all of it."""
        table = Table(box=box.MARKDOWN)
        for number, heading in enumerate(_HEADINGS):
            table.add_column(heading, justify="left" if number == 0 else "right", no_wrap=True)
        for row in self.rows:
            table.add_row(*row.cells)
        console.print(table)
        for remark in self.remarks:
            console.print(remark)
