"""Results as markdown."""
import statistics

import goals
import stats
from cpus import LOAD_CPU, PROXY_CPU


_INTRODUCTION = """# Benchmarks

Written by `./dev bench`. Each column of the tables is a way from one client to one server; all are up at the same time, and a round
measures each of them before the next round begins, so that what disturbs the machine disturbs all. Figures of two runs must not be
compared, ratios within one run may. CPU is the run time of all threads of all proxy processes on the way, as the kernel's scheduler counts
it, between the first and the last instant that the load generator measures; the work of soft interrupts counts for whoever sent.
"""
_BUSY = 0.1  # of a CPU; soft interrupts and the kernel's own threads are a few percent
_WARNING = "**This was a quick run: it shows that all works. Its figures mean nothing.**\n"


def report(results):
    parts = [_INTRODUCTION, _WARNING if "QUICK" in results.machine else "", _goals(results), _columns(results), _machine(results)]
    parts += [_scenario(results, scenario) for scenario in results.measured()]
    if results.idle:
        parts.append(_idle("Idle connections", results.idle))
    if results.idle_http:
        parts.append(_idle("Idle HTTP connections", results.idle_http))
    parts.append(_quality(results))
    return "\n".join(filter(None, parts))


def markdown(header, rows, columns_of_text=1):
    """The first `columns_of_text` columns are words, the others numbers."""
    lines = ["| " + " | ".join(header) + " |", "|---" * columns_of_text + "|--:" * (len(header) - columns_of_text) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def number(value):
    """Three digits that mean something."""
    if value is None:
        return "–"
    if abs(value) >= 999.5:
        return f"{value:,.0f}"
    return f"{value:.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2}f}"


def _goals(results):
    words = {True: "met", False: "**not met**", None: "not measured"}
    rows = [[goal.text, goal.limit, measured or "–", words[verdict]] for goal, measured, verdict in goals.judge(results)]
    return "## Goals\n\n" + markdown(["", "goal", "measured", "verdict"], rows, columns_of_text=4)


def _columns(results):
    rows = [[f"`{name}`", column["what"]] for name, column in results.columns.items()]
    rows += [[f"`{name}`", f"**missing: {' '.join(why.split())[:900]}**"] for name, why in results.missing.items()]
    return "## Columns\n\n" + markdown(["column", "what it is"], rows, columns_of_text=2)


def _machine(results):
    rows = [[key, f"{value:.2f}" if isinstance(value, float) else str(value)] for key, value in results.machine.items() if key != "kind"]
    return "## Machine and settings\n\n" + markdown(["", ""], rows, columns_of_text=2)


def _scenario(results, scenario):
    text = f"## {scenario.title}\n\n`{scenario.name}`\n\n"
    for metric in scenario.metrics:
        base = results.series(scenario, scenario.baseline, metric)
        rows = []
        for column in scenario.columns:
            series = results.series(scenario, column, metric)
            if series:
                values = list(series.values())
                low, first, middle, _, high = stats.five(values)
                mark = "" if stats.steady(values) else " ~"
                rows.append([f"`{column}`", number(low), number(first), number(middle) + mark, number(high), str(len(values)),
                             "" if column == scenario.baseline else _compared(scenario, stats.paired(series, base))])
        if rows:
            text += markdown([f"**{metric.title}**", "min", "q1", "median", "max", "n", f"× {scenario.baseline}"], rows) + "\n"
    return text


def _compared(scenario, ratios):
    if not ratios:
        return "–"
    if scenario.parity:
        interval = stats.ratio_interval(ratios)
        return "{:.3f} [{:.3f}, {:.3f}]".format(*interval) if interval else f"{statistics.median(ratios):.3f}"
    low, _, middle, _, high = stats.five(ratios)
    return f"{middle:.2f} ({low:.2f}–{high:.2f})"


def _idle(title, measured):
    counts = sorted({int(count) for record in measured.values() for count in record["at"]})
    plain = measured.get("none")
    rows = []
    for name, record in measured.items():
        row = [f"`{name}`", number(record["start"]["rss_kb"] / 1024), number(record["start"]["pss_kb"] / 1024)]
        for count in map(str, counts):
            at = record["at"].get(count)
            row.append(number(at["rss_kb"] / int(count)) if at else "–")
            row.append(number((at["kernel_kb"] - plain["at"][count]["kernel_kb"]) / int(count)) if at and plain else "–")
        rows.append([*row, number(record["after_close"]["rss_kb"] / 1024)])
    header = ["column", "RSS at the start, MB", "PSS, MB"]
    for count in counts:
        header += [f"KB each at {count:,}", "kernel KB each"]
    return (f"## {title}\n\nEach made one exchange, then rests. All proxy processes of the column together, growth over the start "
            "divided by the connections; *kernel*: slab and socket buffers beyond those of `none`. One run, first of all, with fresh "
            "proxies.\n\n" + markdown([*header, "kept 3 s after the close, MB"], rows))


def _quality(results):
    """What a reader must know before he believes the tables."""
    lines = ["## How far to trust this\n",
             "Ratios are of samples of the same round: median (min–max); where the claim is parity, the Hodges-Lehmann centre and its "
             "95 % interval. `~`: the first quartiles of the two halves of the series differ by more than a tenth.\n"]
    lines += [line for name in results.columns for line in _neighbours(results, name)]
    steal = [share for sample in results.samples for share in sample["steal"].values()]
    if steal:
        lines.append(f"- stolen by other machines: at most {max(steal):.1%} of a sample")
    failed = [sample for sample in results.samples if sample["failed"]]
    lines += [f"- **failures** in {sample['scenario']}, `{sample['column']}`, round {sample['round']}: {sample['failed']} beside "
              f"{sample['done']} done" for sample in failed]
    lines += [f"- **failures** while idle, `{name}`: {record['failed']}" for name, record in [*results.idle.items(), *results.idle_http.items()]
              if record["failed"]]
    lines += [f"- **broken sample** of {record['scenario']}, `{record['column']}`, round {record['round']}: {record['why']}"
              for record in results.broken]
    return "\n".join(lines) + "\n"


def _neighbours(results, column):
    """What else ran on the two CPUs while a column was measured."""
    samples = [sample for sample in results.samples if sample["column"] == column]
    for cpu, ours in ((PROXY_CPU, ("proxies_s", "agents_s")), (LOAD_CPU, ("cpu_seconds", "backend_s"))):
        other = [sample["busy"][f"cpu{cpu}"] - sum(sample[field] for field in ours) / sample["wall_s"] for sample in samples]
        if other:
            share = f"CPU {cpu} was busy with something else for {statistics.median(other):.1%} of the time"
            if statistics.median(other) > _BUSY:
                share = f"**{share}: run it again on a quiet machine**"
            yield f"- `{column}`: {share} (median; most {max(other):.1%})"
