#!/usr/bin/python3
"""The demo: what Leat does to an application that does not know of it, in nine short scenes.

    ./dev demo            shows it and removes everything (Ctrl-C does too)
    ./dev demo --keep     leaves it up and says what to try next
    ./dev demo --shell POD   a shell in a pod that was left up
    ./dev demo --down     removes what was left up
    ./dev demo --check    checks every claim; the last line counts them
"""
import argparse
import contextlib
import os
import sys
import time

from edge import Edge
from lab import Lab, wait_for
from shop import BACKEND_PORT, BACKEND_TCP_PORT, NAMESPACE, Shop, manifest

REQUESTS = 100
SPLIT_REQUESTS = 200
MARKER = b"leat-plaintext-marker"


class Demo:
    def __init__(self, lab):
        self.lab = lab
        self.claims = []  # (what was claimed, whether it held)

    def run(self):
        started = time.monotonic()
        self.shop = Shop(self.lab)
        say(f"Leat {self.shop.a.leat('version').stdout.split()[1]} · two nodes, five pods, on this machine only; up in "
            f"{time.monotonic() - started:.1f} s    (Ctrl-C removes everything)\n")
        self.before_the_mesh()
        self.enrolment()
        self.in_the_mesh()
        self.strict()
        self.what_leat_saw()
        self.split()
        self.traces()
        self.failures()

    # ---------------------------------------------------------------- scenes

    def before_the_mesh(self):
        answer, wire = self.ask_over_the_wire()
        self.claim("everybody answered before the mesh", set(answer["pods"]) == set(self.shop.backends) and not answer["failed"])
        self.claim("before the mesh the bytes are readable between the nodes", wire.saw(MARKER) and not wire.tls_records())
        scene(1, "Before the mesh", f"frontend → http://backend:{BACKEND_PORT} ×{REQUESTS}", versions(answer),
              "plaintext on the wire" if wire.saw(MARKER) else "not readable on the wire")

    def enrolment(self):
        started = time.monotonic()
        self.shop.enrol()
        scene(2, "Label the namespace", f"{NAMESPACE}  leat.dev/mesh=enabled", "",
              f"seen by `leat pods` on both nodes after {(time.monotonic() - started) * 1000:.0f} ms")

    def in_the_mesh(self):
        shop = self.shop
        answer, wire = self.ask_over_the_wire()
        self.claim("everybody answers in the mesh", set(answer["pods"]) == set(shop.backends) and not answer["failed"])
        self.claim("in the mesh it is TLS 1.3 between the nodes", wire.tls13_handshakes() > 0 and wire.tls_records() > 0)
        self.claim("in the mesh the bytes are not readable between the nodes", not wire.saw(MARKER))
        self.claim("backends see the frontend's own address", set(answer["clients"]) == {shop.frontend.ipv4})
        scene(3, "In the mesh", f"frontend → http://backend:{BACKEND_PORT} ×{REQUESTS}", versions(answer),
              f"{'TLS 1.3' if wire.tls13_handshakes() else 'no TLS'} on the wire, {'' if wire.saw(MARKER) else 'not '}readable")

        identities = self.identities()
        self.claim("both sides of a tunnel proved who they are",
                   identities == {"spiffe://cluster.local/ns/shop/sa/frontend", "spiffe://cluster.local/ns/shop/sa/backend"})
        detail("identities", "  ⇄  ".join(sorted(identities, reverse=True)))
        detail("backends see the client at", f"{', '.join(answer['clients'])} (the frontend's own address)")
        detail("changed in the application", "nothing")

        by_tcp = shop.ask(REQUESTS, url=f"http://backend:{BACKEND_TCP_PORT}/")
        self.claim("the port that is only TCP is served too", set(by_tcp["pods"]) == set(shop.backends) and not by_tcp["failed"])
        detail(f"the same by port {BACKEND_TCP_PORT}, named tcp", f"{versions(by_tcp)}; pods of one node in the kernel, without a proxy")

    def strict(self):
        shop = self.shop
        url = f"http://{shop.backends['backend-v1-1'].ipv4}:{BACKEND_PORT}/"
        self.claim("a stranger is served while the mode is PERMISSIVE", not shop.ask(1, shop.visitor, url)["failed"])
        self.lab.objects.write("peerauthentication-shop", manifest("strict"))
        refusal = wait_for(lambda: shop.ask(1, shop.visitor, url)["failed"], "STRICT refuses the visitor")
        answer = shop.ask(REQUESTS)
        record = wait_for(self.denied_flow, "`leat flows` shows who was refused")
        self.claim("STRICT refuses a stranger's plaintext", bool(refusal))
        self.claim("`leat flows` says why", "STRICT" in record["reason"])
        self.claim("STRICT leaves the mesh's own traffic alone", not answer["failed"])
        scene(4, "STRICT", "visitor (outside the mesh) → backend-v1-1", "refused" if refusal else "served",
              f"frontend ×{REQUESTS}: {sum(answer['failed'].values())} failed")
        detail("leat flows says", record["reason"])

    def what_leat_saw(self):
        say(f"\n{BOLD}5. leat flows{PLAIN}  on {self.shop.a.name}")
        header, *lines = self.shop.a.leat("flows", "--closed").stdout.splitlines()
        newest = [line for path in ("direct", "proxy", "hbone") for line in [each for each in lines if f" {path} " in each][-2:]]
        say("\n".join(f"   {line}" for line in [header, *newest]))
        self.claim("`leat flows` shows the ways that were taken", {"direct", "proxy", "hbone"} <= {flow["path"] for flow in self.shop.a.flows()})

    def split(self):
        """The two objects of demo/manifests/split.yaml, and an edit of them while requests go on."""
        shop, before = self.shop, self.shop.metrics()
        answer = self.ask_split(90, 10)
        self.claim("a 90/10 split sends nine of ten requests to v1", 160 <= answer["versions"]["v1"] <= 196 and not answer["failed"])
        scene(6, "90 / 10", f"apply split.yaml; frontend ×{SPLIT_REQUESTS}", versions(answer), f"failed {sum(answer['failed'].values())}")
        for line in shop.a.leat("routes").stdout.splitlines():
            say(f"   {line}")

        during = shop.ask_during(lambda: shop.split(50, 50))
        answer = self.ask_split(50, 50)
        failed = sum(during["failed"].values()) + sum(answer["failed"].values())
        self.claim("an edit of the weights moves the traffic", 65 <= answer["versions"]["v1"] <= 135)
        self.claim("no request fails while the weights are edited", failed == 0)
        scene(7, "50 / 50", f"edit split.yaml while asking; then ×{SPLIT_REQUESTS}", versions(answer), f"failed {failed}")

        edge = Edge(shop.metrics(), before, source_workload="frontend", destination_service_name="backend")
        asked = sum(sum(each["versions"].values()) for each in (during, answer)) + SPLIT_REQUESTS
        self.claim("`leat metrics` counts every request of the edge", edge.requests == asked and edge.success_percent == 100)
        detail("frontend → backend", f"{edge.requests} requests, {edge.success_percent:.1f} % succeeded, p50 {edge.quantile_ms(.5):.1f} ms, "
               f"p95 {edge.quantile_ms(.95):.1f} ms  (leat metrics)")

    def failures(self):
        """No object says a word of retries, and none says that two of three backends fail."""
        shop = self.shop
        shop.end_split()
        before = count(shop.metrics(), "leat_http_retries_total")
        with contextlib.ExitStack() as failing:
            during = shop.ask_during(lambda: failing.enter_context(shop.only_one_well()))
            answer = shop.ask(REQUESTS, each=5)
        retries = count(shop.metrics(), "leat_http_retries_total") - before
        failed = sum(during["failed"].values()) + sum(answer["failed"].values())
        self.claim("a caller notices neither a backend that is killed nor one that answers 503", failed == 0)
        self.claim("the backend that is well answers alone", set(answer["pods"]) == {"backend-v1-2"})
        self.claim("`leat metrics` counts the retries", retries > 0)
        scene(9, "Two of three fail", f"kill v1-1, v2-1 says 503; frontend ×{REQUESTS}", versions(answer),
              f"failed {failed}, {retries:.0f} retries")

    def traces(self):
        """One setting of the mesh, and every request carries a trace."""
        self.lab.objects.write("mesh", manifest("traces"))
        wait_for(lambda: self.shop.ask(1)["traces"], "a request carries a trace")
        answer = self.shop.ask(REQUESTS, each=5)
        self.claim("every request arrives with a trace of its own", len(answer["traces"]) == REQUESTS and not answer["failed"])
        scene(8, "Traces", f"apply traces.yaml; frontend ×{REQUESTS}", versions(answer), f"{len(answer['traces'])} traces seen by the backends")

    # ---------------------------------------------------------------- observations

    def ask_split(self, v1, v2):
        """Applies the weights, waits until they are what `leat routes` shows, and asks."""
        self.shop.split(v1, v2)
        wait_for(lambda: [to["weight"] for route in self.shop.routes() for to in route["destinations"]] == [v1, v2], "the split is compiled")
        return self.shop.ask(SPLIT_REQUESTS, each=5)

    def ask_over_the_wire(self):
        with self.shop.a.wire_to(self.shop.b) as wire:
            answer = self.shop.ask(REQUESTS)
        return answer, wire

    def identities(self):
        """What each end of the tunnels proved to the other."""
        flows = wait_for(lambda: [flow for node in self.lab.nodes for flow in node.flows() if flow["path"] == "hbone"], "tunnels in `leat flows`")
        return {flow["peerIdentity"] for flow in flows if flow["peerIdentity"]}

    def denied_flow(self):
        return next((flow for flow in self.shop.a.flows() if flow["verdict"] == "denied"), None)

    def claim(self, text, held):
        self.claims.append((text, bool(held)))


# ---------------------------------------------------------------- words on the terminal

BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")


def say(text):
    print(text, flush=True)


def scene(number, title, what, result, note):
    say(f"{BOLD}{number}. {title:<20}{PLAIN} {what:<42} {result:<14}  {note}")


def count(metrics, name):
    return sum(each["value"] for each in metrics if each["name"] == name)


def detail(name, text):
    say(f"   {'':<20} {name:<28} {text}")


def versions(answer):
    counted = "  ".join(f"{version} {count}" for version, count in sorted(answer["versions"].items()))
    failed = sum(answer["failed"].values())
    return counted + (f"  failed {failed}" if failed else "")


def next_commands(lab):
    leat = f"{lab.binary('leat')} --agent {lab.nodes[0].api_socket}"
    return f"""
It is still up. Try:
   ./dev demo --shell frontend                     then: curl -s http://backend:{BACKEND_PORT}/
   {leat} flows -f
   {leat} check
   $EDITOR {lab.objects.folder}/namespace-shop.yaml    what you save is in force at once
   ./dev demo --down                               removes everything"""


# ---------------------------------------------------------------- what the command line asks for

def show(keep, check):
    with Lab("demo") as lab:
        demo = Demo(lab)
        try:
            demo.run()
        except Exception as error:
            if not check:
                raise
            say(f"the demo stopped: {error}")
            demo.claim("the demo reaches its end", False)
        if check:
            return report(demo.claims)
        if keep:
            lab.keep()
            say(next_commands(lab))
        else:
            say("\n./dev demo --keep leaves all this up to play with.")
    return 0


def report(claims):
    say("")
    for text, held in claims:
        say(f"{'ok  ' if held else 'FAIL'}  {text}")
    failed = sum(not held for _, held in claims)
    say(f"{len(claims) - failed} passed, {failed} failed")
    return 1 if failed else 0


def shell(pod):
    names = Lab.kept("demo")
    if not names:
        sys.exit("no demo is up: ./dev demo --keep")
    Lab.enter_kept(names[-1], pod)
    os.environ["PS1"] = f"{pod}# "
    os.execvp("bash", ["bash", "--norc", "-i"])


def down():
    removed = [*Lab.sweep(), *map(Lab.remove, Lab.kept("demo"))]
    say(f"removed {', '.join(removed)}" if removed else "nothing was up")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--keep", action="store_true")
    options.add_argument("--down", action="store_true")
    options.add_argument("--check", action="store_true")
    options.add_argument("--shell", metavar="POD")
    chosen = options.parse_args()
    if chosen.down:
        return down()
    if chosen.shell:
        return shell(chosen.shell)
    Lab.sweep()
    return show(chosen.keep, chosen.check)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
