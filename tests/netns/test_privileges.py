"""What the programs may do once they serve, as the kernel says it: no more than docs/security.md lists."""
import re
from pathlib import Path

from mesh import asks_leat

pytestmark = asks_leat
CANNOT_SERVE = 78
AGENTS = {"CAP_KILL": 5, "CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_BPF": 39}
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def status(pid, thread=None):
    return dict(re.findall(r"^(\w+):\s*(.*)$", Path(f"/proc/{pid}/task/{thread or pid}/status").read_text(), re.MULTILINE))


def threads(pid):
    return [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]


def test_the_agent_has_the_four_documented_capabilities_and_no_way_to_more(shop):
    kept = f"{sum(1 << number for number in AGENTS.values()):016x}"
    none = f"{0:016x}"
    for thread in threads(shop.a.agent.pid):
        seen = status(shop.a.agent.pid, thread)
        assert {name: seen[name] for name in SETS} == dict(CapInh=none, CapPrm=kept, CapEff=kept, CapBnd=none, CapAmb=none)
        assert seen["NoNewPrivs"] == "1"
    documented = next(line for line in Path(__file__).parents[2].joinpath("docs/security.md").read_text().splitlines() if "`leat-agent`" in line)
    assert set(re.findall(r"CAP_\w+", documented)) == set(AGENTS)


def test_no_thread_of_the_proxys_data_process_has_a_capability_or_is_without_a_filter(shop):
    worker = int(Path(f"/proc/{shop.a.proxy.pid}/task/{shop.a.proxy.pid}/children").read_text().split()[0])
    for thread in threads(worker):
        seen = status(worker, thread)
        assert {int(seen[name], 16) for name in SETS if name != "CapBnd"} == {0}
        assert (seen["NoNewPrivs"], seen["Seccomp"]) == ("1", "2")
        assert set(seen["Uid"].split()) == {str(shop.a.proxy_uid)}


def test_a_proxy_that_would_run_unconfined_refuses_to_start_and_names_the_cure(shop):
    """As root and without --user."""
    done = shop.a.part(shop.a.proxy_cgroup).run([shop.lab.binary("leat-proxy"), "--agent", shop.a.proxy_socket], check=False, timeout=10)
    assert done.returncode == CANNOT_SERVE
    said = done.stdout + done.stderr
    assert "must not run as root" in said and "--user" in said and "--allow-unconfined" in said
