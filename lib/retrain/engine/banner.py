"""The first cell of an executed notebook: status, where, why, in one plain sentence each."""

from __future__ import annotations

from retrain.engine.account import Account, CellStatus, Status
from retrain.literal import literal

__all__ = ["TAG", "plain", "text"]

TAG = "retrain-banner"

_MARK = {
    Status.COMPLETED: "✔",
    Status.STOPPED: "■",
    Status.FAILED: "✘",
    Status.INTERRUPTED: "■",
    Status.INCOMPLETE: "…",
}


def text(account: Account) -> str:
    """Return the banner's Markdown. What came out of the notebook is escaped: it may be anybody's words."""
    ran = sum(cell.status is CellStatus.OK for cell in account.cells)
    where = "" if account.where is None else f" Where: cell {account.where}."
    return (
        f"> **{_MARK[account.status]} {account.status.value}**: {plain(account.reason)}\n>\n"
        f"> {ran} of {len(account.cells)} code cells ran to their end.{where}"
    )


def plain(words: str, *, limit: int = 300) -> str:
    """Return one line of at most ``limit`` characters in which Markdown and HTML mean nothing."""
    line = " ".join(words.split())
    if len(line) > limit:
        line = line[: limit - 1] + "…"
    return literal(line)
