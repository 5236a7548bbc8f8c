#!/usr/bin/python3
"""A stand-in for a cluster's API server: lists, watches, bookmarks and applies, over TLS, with what a lab's folder of manifests holds as
its objects. So every scene of files can be played from a cluster too. It makes the EndpointSlices of Services itself.

    api_server.py --objects FOLDER --state FOLDER --address IP --port N [--page N] [--without KIND …]

FOLDER gets ca.crt, token and control.sock. A line of JSON to control.sock, and it answers with one:
    {"do": "expire"}                  old versions are forgotten: every watch ends with 410 in its stream
    {"do": "cut"}                     every connection is closed in the middle of what it does
    {"do": "install", "kind": K}      a kind that was left out is there from now on; "remove": gone again
    {"do": "token"}                   the token is another one; the old one is refused
    {"do": "slow", "seconds": S}      each list waits for so long
    {"do": "late", "client": A, "seconds": S}                        events come so late to who watches from address A
    {"do": "requests"}                what was asked for so far: [[method, path, status], …]
    {"do": "told"}                    {"events": […], "writes": [[client's address, method, path], …]}: see told_api.py
    {"do": "refuse", "whether": B}    what told_api.py has is forbidden
    {"do": "status", "key": [kind, namespace, name], "status": S}    somebody else writes an object's status
    {"do": "stored", "key": [kind, namespace, name]}                 an object as it is now
    {"do": "issue", …}, {"do": "forget", "token": T}, {"do": "annotate", …}, {"do": "object", "key": [plural, namespace, name]}    see ca_api.py
"""
import argparse
import datetime
import http.server
import ipaddress
import json
import os
import secrets
import socket
import socketserver
import ssl
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import yaml
from ca_api import CaApi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from told_api import ToldApi

KINDS = {  # kind: (path, plural)
    "Namespace": ("/api/v1", "namespaces"), "Node": ("/api/v1", "nodes"), "Pod": ("/api/v1", "pods"), "Service": ("/api/v1", "services"),
    "EndpointSlice": ("/apis/discovery.k8s.io/v1", "endpointslices"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"), "RuntimeClass": ("/apis/node.k8s.io/v1", "runtimeclasses"),
    "Mesh": ("/apis/leat.dev/v1alpha1", "meshes"), "NodeWorkloads": ("/apis/leat.dev/v1alpha1", "nodeworkloads"),
    "PeerAuthentication": ("/apis/security.istio.io/v1", "peerauthentications"),
    # An older Istio: v1 is not served.
    "VirtualService": ("/apis/networking.istio.io/v1beta1", "virtualservices"),
    "DestinationRule": ("/apis/networking.istio.io/v1", "destinationrules"),
    "ServiceEntry": ("/apis/networking.istio.io/v1", "serviceentries"),
    "HTTPRoute": ("/apis/gateway.networking.k8s.io/v1", "httproutes"),
    "GRPCRoute": ("/apis/gateway.networking.k8s.io/v1", "grpcroutes"),
    "ReferenceGrant": ("/apis/gateway.networking.k8s.io/v1beta1", "referencegrants"),
}
BUILT_IN = {"Namespace", "Node", "Pod", "Service", "EndpointSlice", "NetworkPolicy", "RuntimeClass"}
COUNTED = {"HTTPRoute", "GRPCRoute"}
BOOKMARK_SECONDS = 0.5


class Gone(Exception):
    """The version is forgotten."""


class Store:
    """Every object, and what happened to them since some version."""

    def __init__(self, absent):
        self.changed = threading.Condition()
        self.objects = {kind: {} for kind in KINDS}
        self.absent = set(absent)
        self.version = int(time.time() * 1000)  # grows over restarts, as etcd's does
        self.floor = self.version
        self.events = []  # (version, type, kind, object, object before)
        self.cuts = 0

    def put(self, kind, found):
        key = (found["metadata"].get("namespace", ""), found["metadata"]["name"])
        before = self.objects[kind].get(key)
        if kind in COUNTED:
            found = _counted(found, before)
        if before is not None and _without_version(before) == _without_version(found):
            return before
        self.version += 1
        uid = before["metadata"]["uid"] if before else f"{kind}-{'-'.join(key)}-{self.version}".lower()
        found = {**found, "metadata": {"uid": uid, **found["metadata"], "resourceVersion": str(self.version),
                                       "managedFields": [{"manager": "test", "fieldsV1": {"f:spec": {}}}]}}
        self.objects[kind][key] = found
        self.events.append((self.version, "MODIFIED" if before else "ADDED", kind, found, before))
        self.changed.notify_all()
        return found

    def remove(self, kind, key):
        before = self.objects[kind].pop(key, None)
        if before is not None:
            self.version += 1
            gone = {**before, "metadata": {**before["metadata"], "resourceVersion": str(self.version)}}
            self.events.append((self.version, "DELETED", kind, gone, before))
            self.changed.notify_all()
        return before is not None

    def expire(self):
        self.version += 1
        self.floor = self.version
        self.events = []
        self.changed.notify_all()

    def since(self, version, kind):
        """Events of a kind after that version. Waits for none."""
        if version < self.floor or kind in self.absent:
            raise Gone()
        return [event for event in self.events if event[0] > version and event[2] == kind]


def _counted(found, before):
    """What is written to an object without its status leaves that as it is, and counts the specs."""
    if before is None:
        return {**found, "metadata": {**found["metadata"], "generation": 1}}
    generation = before["metadata"]["generation"] + (found["spec"] != before["spec"])
    kept = {"status": before["status"]} if "status" in before and "status" not in found else {}
    return {**found, **kept, "metadata": {**found["metadata"], "generation": generation}}


def _without_version(found):
    hidden = ("resourceVersion", "managedFields", "uid")
    return {**found, "metadata": {key: value for key, value in found["metadata"].items() if key not in hidden}}


# ---------------------------------------------------------------- where the objects come from

class Folder(threading.Thread):
    """Keeps the store as the manifests are, and the slices of Services as their pods are."""

    def __init__(self, store, folder):
        super().__init__(daemon=True)
        self.store, self.folder = store, Path(folder)
        self.files = {}   # path: stamp
        self.mine = {}    # path: {(kind, key)}

    def run(self):
        while True:
            self.look()
            time.sleep(0.005)

    def look(self):
        stamps = {}
        for path in self.folder.glob("*.yaml"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            stamps[path] = (status.st_mtime_ns, status.st_ino, status.st_size)
        if stamps == self.files:
            return
        with self.store.changed:
            for path in self.files.keys() - stamps.keys():
                for kind, key in self.mine.pop(path):
                    self.store.remove(kind, key)
            for path in (path for path, stamp in stamps.items() if self.files.get(path) != stamp):
                try:
                    found = [document for document in yaml.safe_load_all(path.read_text()) if document]
                except (yaml.YAMLError, FileNotFoundError):
                    continue  # half written
                kept = {self._put(document) for document in found}
                for kind, key in self.mine.get(path, set()) - kept:
                    self.store.remove(kind, key)
                self.mine[path] = kept
            make_slices(self.store)
        self.files = stamps

    def _put(self, document):
        kind = document["kind"]
        if kind not in ("Namespace", "Node", "Mesh", "NodeWorkloads"):
            document["metadata"].setdefault("namespace", "default")
        if kind == "Pod":  # a pod's own word about its namespace must count for nothing
            document["metadata"]["annotations"] = {**document["metadata"].get("annotations", {}), "leat.dev/netns": "/proc/1/ns/net"}
        found = self.store.put(kind, document)
        return kind, (found["metadata"].get("namespace", ""), found["metadata"]["name"])


def make_slices(store):
    """What the EndpointSlice controller would: one a Service and family."""
    wanted = {}
    for (namespace, name), service in store.objects["Service"].items():
        selector = service["spec"].get("selector")
        if not selector:
            continue
        pods = [pod for (where, _), pod in store.objects["Pod"].items() if where == namespace and pod["status"].get("podIPs")
                and selector.items() <= pod["metadata"].get("labels", {}).items()]
        for family, number in (("IPv4", 4), ("IPv6", 6)):
            endpoints = [_endpoint(pod, address["ip"]) for pod in pods for address in pod["status"]["podIPs"]
                         if ipaddress.ip_address(address["ip"]).version == number]
            wanted[(namespace, f"{name}-{family.lower()}")] = {
                "metadata": {"name": f"{name}-{family.lower()}", "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
                "addressType": family, "endpoints": endpoints,
                "ports": [{"name": port.get("name", ""), "port": port.get("targetPort", port["port"]), "protocol": "TCP"}
                          for port in service["spec"]["ports"]]}
    for key in store.objects["EndpointSlice"].keys() - wanted.keys():
        store.remove("EndpointSlice", key)
    for found in wanted.values():
        store.put("EndpointSlice", found)


def _endpoint(pod, address):
    ready = all(condition["status"] == "True" for condition in pod["status"].get("conditions", []) if condition["type"] == "Ready")
    return {"addresses": [address], "nodeName": pod["spec"]["nodeName"], "conditions": {"ready": ready, "serving": ready},
            "targetRef": {"kind": "Pod", "name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]}}


# ---------------------------------------------------------------- HTTP

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._answer(lambda kind, name, query: self._watch(kind, query) if query.get("watch") else self._list(kind, query))

    def do_PATCH(self):
        self._answer(lambda kind, name, query: self._apply(kind, name, json.loads(self.body)))

    def do_POST(self):
        self._answer(lambda kind, name, query: self._status(405, "MethodNotAllowed", "MethodNotAllowed"))

    do_PUT = do_POST

    def do_DELETE(self):
        self._answer(lambda kind, name, query: self._delete(kind, name))

    def _answer(self, act):
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            return self._status(401, "Unauthorized", "Unauthorized")
        with self.server.store.changed:
            answered = self.server.ca.answer(self.command, url.path, self.body) or \
                self.server.told.answer(self.client_address[0], self.command, url.path, self.headers, self.body)
        if answered:
            return self._send(answered[0], json.dumps(answered[1]).encode())
        for kind, (group, plural) in KINDS.items():
            collection = f"{group}/{plural}"
            if url.path == collection or url.path.startswith(collection + "/"):
                if kind in self.server.store.absent:
                    break
                return act(kind, url.path[len(collection) + 1:], query)
        return self._send(404, b"404 page not found\n", "text/plain")

    def _note(self, status):
        self.server.requests.append([self.command, self.path, status])

    def _send(self, status, body, content_type="application/json"):
        self._note(status)
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _status(self, code, reason, message):
        self._send(code, json.dumps(status(code, reason, message)).encode())

    def _list(self, kind, query):
        time.sleep(self.server.slow)
        store = self.server.store
        with store.changed:
            if "resourceVersion" in query and int(query["resourceVersion"]) > store.version:
                return self._status(504, "Timeout", f"Too large resource version: {query['resourceVersion']}, current: {store.version}")
            found = [item for _, item in sorted(store.objects[kind].items()) if selected(kind, item, query)]
            version, begin = str(store.version), 0
            if "continue" in query:
                version, begin = query["continue"].split(":")
                if int(version) < store.floor:
                    return self._status(410, "Expired", "The provided continue parameter is too old")
            begin, most = int(begin), min(int(query["limit"]), self.server.page) if "limit" in query else len(found)
        page, rest = found[begin:begin + most], found[begin + most:]
        metadata = {"resourceVersion": version, **({"continue": f"{version}:{begin + most}"} if rest else {})}
        # As the real one: the items of built-in kinds do not name their kind.
        items = [{key: value for key, value in item.items() if kind not in BUILT_IN or key not in ("kind", "apiVersion")} for item in page]
        self._send(200, json.dumps({"kind": f"{kind}List", "metadata": metadata, "items": items}).encode())

    def _watch(self, kind, query):
        store, cuts = self.server.store, self.server.store.cuts
        self._note(200)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        end, seen = time.monotonic() + int(query["timeoutSeconds"]), int(query["resourceVersion"])
        while time.monotonic() < end:
            with store.changed:
                try:
                    events = store.since(seen, kind)
                    # A wait that timed out may have waited for the lock as well, while something was put.
                    if not events and not store.changed.wait(BOOKMARK_SECONDS) and not (events := store.since(seen, kind)):
                        seen = store.version
                        events = [(seen, "BOOKMARK", kind, {"metadata": {"resourceVersion": str(seen)}}, None)]
                except Gone:
                    self._line({"type": "ERROR", "object": status(410, "Expired", f"too old resource version: {seen}")})
                    break
            if store.cuts != cuts:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if events and events[0][1] != "BOOKMARK":
                time.sleep(self.server.late.get(self.client_address[0], 0))
            for version, change, _, found, before in events:
                seen = version
                now = change == "BOOKMARK" or selected(kind, found, query)
                if now or (before is not None and selected(kind, before, query)):
                    self._line({"type": change if now else "DELETED", "object": found})
        self.wfile.write(b"0\r\n\r\n")

    def _line(self, event):
        line = json.dumps(event).encode() + b"\n"
        middle = len(line) // 2  # a line need not come in one piece
        for part in (line[:middle], line[middle:]):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))

    def _apply(self, kind, name, body):
        assert body["metadata"]["name"] == name and self.headers["Content-Type"] == "application/apply-patch+yaml"
        with self.server.store.changed:
            self._send(200, json.dumps(self.server.store.put(kind, body)).encode())

    def _delete(self, kind, name):
        with self.server.store.changed:
            there = self.server.store.remove(kind, ("", name))
        self._status(200, "", "") if there else self._status(404, "NotFound", f"{name} not found")


def status(code, reason, message):
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message}


def selected(kind, found, query):
    wanted = query.get("fieldSelector", "")
    return not wanted or (kind == "Pod" and wanted == f"spec.nodeName={found['spec'].get('nodeName', '')}")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    slow = 0.0
    late = {}  # seconds, by the client's address

    def __init__(self, address, store, context, token, page):
        self.store, self.context, self.token, self.page, self.requests = store, context, token, page, []
        super().__init__(address, Handler)

    def finish_request(self, request, client_address):  # in the connection's thread: a slow handshake holds up nobody
        super().finish_request(self.context.wrap_socket(request, server_side=True), client_address)

    def handle_error(self, *_):
        pass  # a connection that was cut


# ---------------------------------------------------------------- certificates, and what a test may do

def make_certificates(state, address):
    """A CA and a server certificate, new ones each time. The CA's file is replaced in one step, as the kubelet does it."""
    now = datetime.datetime.now(datetime.timezone.utc)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{name}-{secrets.token_hex(4)}")]) for name in ("ca", "server")]
    made = []
    for number, (key, name) in enumerate(zip(keys, names)):
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(names[0]).public_key(key.public_key()) \
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(minutes=5)) \
            .not_valid_after(now + datetime.timedelta(days=1)) \
            .add_extension(x509.BasicConstraints(ca=number == 0, path_length=None), critical=True)
        if number == 1:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        made.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    key = keys[1].private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (state / "server.pem").write_bytes(key + made[1])
    replace(state / "ca.crt", made[0])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(state / "server.pem")
    return context


def replace(path, content):
    hidden = path.with_name(f".{path.name}.new")
    hidden.write_bytes(content)
    os.rename(hidden, path)


class Control(socketserver.StreamRequestHandler):
    def handle(self):
        order, server = json.loads(self.rfile.readline()), self.server.api
        store, answer = server.store, {}
        with store.changed:
            if order["do"] == "expire":
                store.expire()
            elif order["do"] == "cut":
                store.cuts += 1
                store.changed.notify_all()
            elif order["do"] == "install":
                store.absent.discard(order["kind"])
            elif order["do"] == "remove":
                store.absent.add(order["kind"])
                store.objects[order["kind"]].clear()
                store.changed.notify_all()
            elif order["do"] == "token":
                server.token = secrets.token_hex(16)
                replace(self.server.state / "token", server.token.encode() + b"\n")
            elif order["do"] == "slow":
                server.slow = order["seconds"]
            elif order["do"] == "late":
                server.late[order["client"]] = order["seconds"]
            elif order["do"] == "issue":
                answer = server.ca.issue(**{key: value for key, value in order.items() if key != "do"})
            elif order["do"] == "forget":
                del server.ca.tokens[order["token"]]
            elif order["do"] == "annotate":
                server.ca.annotate(**{key: value for key, value in order.items() if key != "do"})
            elif order["do"] == "object":
                answer = server.ca.objects.get(tuple(order["key"]))
            elif order["do"] == "told":
                answer = {"events": list(server.told.events.values()), "writes": list(server.told.writes)}
            elif order["do"] == "refuse":
                server.told.refuses = order["whether"]
            elif order["do"] == "stored":
                kind, *key = order["key"]
                answer = store.objects[kind].get(tuple(key))
            elif order["do"] == "status":
                kind, *key = order["key"]
                answer = store.put(kind, {**store.objects[kind][tuple(key)], "status": order["status"]})
            elif order["do"] == "requests":
                answer = list(server.requests)
        self.wfile.write(json.dumps(answer).encode() + b"\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--objects", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, default=6443)
    parser.add_argument("--page", type=int, default=1)
    parser.add_argument("--without", nargs="*", default=[])
    options = parser.parse_args()
    options.state.mkdir(parents=True, exist_ok=True)
    store = Store(options.without)
    folder = Folder(store, options.objects)
    folder.look()
    context = make_certificates(options.state, options.address)
    token = secrets.token_hex(16)
    replace(options.state / "token", token.encode() + b"\n")
    api = Server((options.address, options.port), store, context, token, options.page)
    api.ca, api.told = CaApi(store, options.state, replace), ToldApi(store)
    path = options.state / "control.sock"
    path.unlink(missing_ok=True)
    control = socketserver.ThreadingUnixStreamServer(str(path), Control)
    control.api, control.state, control.daemon_threads = api, options.state, True
    threading.Thread(target=control.serve_forever, daemon=True).start()
    folder.start()
    print("serving", flush=True)
    api.serve_forever()


if __name__ == "__main__":
    main()
