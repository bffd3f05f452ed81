"""Private memory of a kernel with the stack: ``python tests/benchmarks/bench_memory.py [--kernels N]``.

Ten warm kernels side by side, each a fork of one process that has imported the stack, against a standard kernel that
imported it by itself; each ran the same imports and drew one figure. *Private* is what would be free if that kernel
ended (Linux: Private_Clean + Private_Dirty of smaps_rollup); the zygote's own memory is told beside it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from jupyter_client.manager import AsyncKernelManager
from sides import Report, Row, parser, print_report

from retrain.engine import zygotes
from retrain.engine.kernels import WarmKernelManager
from retrain.engine.warm import prestart

STACK = (
    "import os, pandas, snowflake.connector, httpx, scrapbook, matplotlib.pyplot as plt\n"
    "frame = pandas.DataFrame({'x': range(1000)})\nfigure = plt.figure()\nfigure.gca().plot(frame['x'])\n"
)
READY_SECONDS = 60.0
MEGABYTE = 1024


async def started(manager: AsyncKernelManager) -> int:
    """Start a kernel, have it import the stack, and return its pid."""
    await manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=READY_SECONDS)
        reply = await client.execute_interactive(STACK, timeout=READY_SECONDS, output_hook=lambda _: None)
        assert reply["content"]["status"] == "ok", reply
    finally:
        client.stop_channels()
    assert manager.provisioner is not None
    return int(manager.provisioner.pid)


def memory(pid: int) -> dict[str, float]:
    """Megabytes of a process: private, and its share of all (PSS)."""
    told: dict[str, float] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, amount, *_ = line.split()
        told[name.rstrip(":")] = float(amount) / MEGABYTE
    return {"private": told["Private_Clean"] + told["Private_Dirty"], "share": told["Pss"]}


async def measured(kernels: int) -> dict[str, list[dict[str, float]]]:
    """Start all of them, look, and stop them."""
    warm = [WarmKernelManager(kernel_name="python3") for _ in range(kernels)]
    standard = AsyncKernelManager(kernel_name="python3")
    found: dict[str, list[dict[str, float]]] = {}
    try:
        found["standard"] = [memory(await started(standard))]
        pids = [await started(manager) for manager in warm]
        found["warm"] = [memory(pid) for pid in pids]
        parents = {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in pids}
        assert len(parents) == 1, "the kernels are not all forks of one process"
        found["zygote"] = [memory(parents.pop())]
    finally:
        for manager in (*warm, standard):
            if manager.has_kernel:
                await manager.shutdown_kernel(now=True)
    return found


def rows(found: Mapping[str, Sequence[Mapping[str, float]]], kernels: int) -> Iterator[Row]:
    """Hold a warm kernel against the standard one, and all of them against as many standard ones."""
    private = {name: [each["private"] for each in all_] for name, all_ in found.items()}
    what = f"private memory of a warm kernel beside {kernels - 1} others"
    yield Row(
        what, "a standard kernel", private["warm"], private["standard"], "MB", at_least=3 if kernels == 10 else None
    )
    together = sum(each["share"] for name in ("warm", "zygote") for each in found[name])
    alone = sum(each["share"] for each in found["standard"]) * kernels
    yield Row(f"{kernels} warm kernels and the zygote, in all", f"{kernels} standard ones", [together], [alone], "MB")


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--kernels", type=int, default=10)
    chosen = arguments.parse_args()
    if not zygotes.supported() or not Path("/proc/self/smaps_rollup").exists():
        print_report(Report("Memory of kernels", text=("Not measured: this needs Linux.",)), chosen.json)
        sys.exit(0)
    prestart()
    found = asyncio.run(measured(chosen.kernels))
    print_report(Report("Memory of kernels", tuple(rows(found, chosen.kernels))), chosen.json)


if __name__ == "__main__":
    main()
