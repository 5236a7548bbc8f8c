"""Verdicts and tables are made from records alone: here from a made-up run with known ratios."""
import goals
import tables
from results import Results
from scenarios import SCENARIOS

PROXIED = ("haproxy-tcp", "leat-same-node", "leat-pair")
ROUTED = {"haproxy-http": 0.12, "envoy-http": 0.4, "leat-http": 0.1, "leat-traced": 0.104}  # CPU seconds a sample: what the goals ask for
COLUMNS = ("none", "none-again", *PROXIED, "leat-direct", "untouched", "untouched-outbound", *ROUTED)


def sample(scenario, column, number, **changes):
    return {"kind": "sample", "scenario": scenario, "column": column, "round": number, "done": 10000, "bytes": 10 ** 9, "seconds": 2.0,
            "cpu_seconds": 1.0, "failed": {}, "p50_us": 100.0, "p99_us": 200.0, "wall_s": 2.0, "proxies_s": ROUTED.get(column, 0.1), "agents_s": 0.0, "backend_s": 0.1,
            "busy": {"cpu0": 0.06, "cpu1": 0.6}, "steal": {"cpu0": 0.0, "cpu1": 0.0}, **changes}


def run(change=lambda record: record, columns=COLUMNS, rounds=12):
    """All equal: every sample of every column the same, but for what `change` does to it."""
    records = [{"kind": "machine", "kernel": "6.x", "rounds": rounds}]
    records += [{"kind": "column", "name": name, "what": "…", "proxies": name in (*PROXIED, *ROUTED), "agents": name.startswith("leat")}
                for name in columns]
    records += [change(sample(scenario.name, column, number)) for scenario in SCENARIOS for number in range(rounds)
                for column in columns if column in scenario.columns]
    memory = {"rss_kb": 8000, "pss_kb": 7000, "kernel_kb": 32000}
    many = {"rss_kb": 20_000, "pss_kb": 19_000, "kernel_kb": 32000}
    records += [{"kind": "idle", "column": name, "start": memory, "at": {"4000": memory, "8000": memory}, "after_close": memory,
                 "failed": []} for name in columns if name == "none" or name in PROXIED]
    records += [{"kind": "idle-http", "column": name, "start": memory, "at": {"10000": dict(many)}, "after_close": memory, "failed": []}
                for name in columns if name in ROUTED]
    return Results(records)


def verdicts(results):
    return {goal.text: met for goal, _, met in goals.judge(results)}


def test_a_run_as_dear_as_haproxy_or_where_http_is_routed_as_cheap_as_asked_meets_every_goal():
    assert set(verdicts(run()).values()) == {True}


def test_a_pair_that_takes_twice_the_cpu_misses_the_goal_of_its_cpu_and_no_other():
    def dear(record):
        if record.get("column") == "leat-pair" and record["scenario"] == "http-64":
            record["proxies_s"] *= 2
        return record
    assert [text for text, met in verdicts(run(dear)).items() if met is False] == ["Encrypted pair: CPU a request"]


def test_traces_that_cost_more_than_a_twentieth_miss_their_goal():
    def dear(record):
        if record.get("column") == "leat-traced" and record["scenario"] == "http-hop":
            record["proxies_s"] = 0.106
        return record
    assert [text for text, met in verdicts(run(dear)).items() if met is False] == ["HTTP hop, traces on, 1 % of them sent: CPU a request"]


def test_idle_http_connections_have_a_table_and_a_goal_of_their_own():
    results = run()
    assert "## Idle HTTP connections" in tables.report(results)
    results.idle_http["leat-http"]["at"]["10000"]["rss_kb"] = 26_000
    assert verdicts(results)["Idle HTTP connection, at 10,000"] is False


def test_parity_is_missed_where_the_interval_is_too_wide_to_say():
    def noisy(record):
        if record.get("column") == "leat-direct" and record["scenario"] == "parity-bulk":
            record["bytes"] *= 1.2 if record["round"] % 2 else 1 / 1.2
        return record
    assert verdicts(run(noisy))["Kernel-direct: Gbit/s"] is False


def test_connect_is_judged_by_the_difference_not_by_the_ratio():
    def slower(by_us):
        def change(record):
            if record.get("column") == "untouched" and record["scenario"] == "parity-connect":
                record["p50_us"] += by_us
            return record
        return change
    goal = "Untouched, pod not in the mesh: connect()"
    assert verdicts(run(slower(0.9)))[goal] is True
    assert verdicts(run(slower(1.2)))[goal] is False


def test_a_column_that_did_not_start_is_named_and_its_goals_are_not_measured():
    results = run(columns=("none", "haproxy-tcp"))
    results.missing["leat-pair"] = "leat-proxy ended with 1"
    assert set(verdicts(results).values()) == {None}
    report = tables.report(results)
    assert "**missing: leat-proxy ended with 1**" in report
    assert "not measured" in report


def test_failures_are_told_in_the_report():
    def failing(record):
        if record.get("column") == "leat-pair" and record["scenario"] == "newconn" and record["round"] == 3:
            record["failed"] = {"reset": 2}
        return record
    assert "**failures** in newconn, `leat-pair`, round 3: {'reset': 2}" in tables.report(run(failing))


def test_a_machine_that_did_other_work_meanwhile_is_called_busy():
    def busy(record):
        return {**record, "busy": {"cpu0": 0.9, "cpu1": 0.6}}
    calm, crowded = tables.report(run()), tables.report(run(busy))
    assert "**CPU 0 was busy with something else for 85.0%" in crowded
    assert "**CPU 1 was" not in crowded
    assert "run it again" not in calm


def test_every_scenario_and_column_has_its_rows():
    report = tables.report(run())
    for scenario in SCENARIOS:
        assert f"`{scenario.name}`" in report
    assert report.count("| `leat-pair` |") > 20
