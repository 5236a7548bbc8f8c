#!/usr/bin/python3
"""A stand-in for kubectl: what `kubectl leat` uses of it, with the nodes of a lab as the cluster. LEAT_FAKE_CLUSTER is a JSON file:
{"context": NAME, "leat": PATH of the program, "nodes": {NAME: PATH of the agent's socket}, "calls": FILE}."""
import json
import os
import sys

LIST = "app.kubernetes.io/name=leat-proxy"


def pod(node):
    return {"metadata": {"name": f"leat-proxy-{node}", "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"nodeName": node},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}


def main(words):
    with open(os.environ["LEAT_FAKE_CLUSTER"], encoding="utf-8") as file:
        cluster = json.load(file)
    with open(cluster["calls"], "a", encoding="utf-8") as calls:
        calls.write(json.dumps(words) + "\n")
    options = [word for word in words if word.startswith("--context") or word.startswith("--kubeconfig")]
    words = [word for word in words if word not in options]
    if f"--context={cluster['context']}" not in options:
        sys.exit(f"error: context was not found for specified context: {options}")
    if words == ["get", "pods", "-n", "leat-system", "-l", LIST, "-o", "json"]:
        return print(json.dumps({"items": [pod(node) for node in cluster["nodes"]]}))
    if words[0] == "exec":
        assert words[:4] == ["exec", "-i", "-n", "leat-system"] and words[5:] == ["-c", "proxy", "--", "leat", "relay"], words
        socket = cluster["nodes"][words[4].removeprefix("leat-proxy-")]
        if not socket:
            sys.exit("error: unable to upgrade connection: container not found")
        os.execve(cluster["leat"], ["leat", "relay"], {"LEAT_AGENT": socket})
    return print(f"{words[0]} of the fake")


if __name__ == "__main__":
    main(sys.argv[1:])
