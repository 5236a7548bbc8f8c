"""What the stand-in for an API server (api_server.py) has for a certificate authority: tokens and their review, single pods, and objects
that are written with an eye on their version: Secrets, ConfigMaps, Leases, ClusterTrustBundles. A ConfigMap's data also come as files into
the state's folder, as the kubelet would mount them."""
import base64
import json
import re
import secrets
import time

_GROUPS = {"secrets": ("/api/v1", True), "configmaps": ("/api/v1", True), "leases": ("/apis/coordination.k8s.io/v1", True),
           "clustertrustbundles": ("/apis/certificates.k8s.io/v1beta1", False)}
_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
_POD = re.compile(r"/api/v1/namespaces/([^/]+)/pods/([^/]+)")


class CaApi:
    def __init__(self, store, state, replace):
        self.store, self.state, self.replace = store, state, replace
        self.tokens = {}   # token: (username, extra, audience, end)
        self.objects = {}  # (plural, namespace, name): object

    # ---------------------------------------------------------------- what a test does

    def issue(self, account, pod, node, audience="istio-ca", seconds=3600, uid=None):
        """A token of a service account, NAMESPACE/NAME, bound to a pod and its node."""
        namespace, name = account.split("/")
        token = secrets.token_hex(24)
        extra = {f"authentication.kubernetes.io/{key}": [value] for key, value in (
            ("pod-name", pod), ("pod-uid", uid or f"{namespace}-{pod}"), ("node-name", node)) if value}
        self.tokens[token] = (f"system:serviceaccount:{namespace}:{name}", extra, audience, time.time() + seconds)
        return token

    def annotate(self, plural, namespace, name, key, value):
        found = self.objects[(plural, namespace, name)]
        found["metadata"].setdefault("annotations", {})[key] = value
        self._put((plural, namespace, name), found)

    # ---------------------------------------------------------------- requests

    def answer(self, method, path, body):
        """(HTTP status, object), or None: this is somebody else's."""
        if path == _REVIEWS and method == "POST":
            return 201, self._review(json.loads(body)["spec"])
        if (pod := _POD.fullmatch(path)) and method == "GET":
            found = self.store.objects["Pod"].get(pod.groups())
            return (200, found) if found else _failure(404, "NotFound", f'pods "{pod[2]}" not found')
        for plural, (group, namespaced) in _GROUPS.items():
            where = r"/namespaces/([^/]+)" if namespaced else "()"
            if match := re.fullmatch(rf"{group}{where}/{plural}(?:/([^/]+))?", path):
                return self._object(method, plural, match[1], match[2], body)
        return None

    def _review(self, spec):
        username, extra, audience, end = self.tokens.get(spec["token"], (None, None, None, 0))
        if time.time() >= end:
            return {"status": {"authenticated": False, "error": "token has expired" if username else "invalid bearer token"}}
        # As the real one: a token that is good for none of the audiences is not good.
        if audience not in spec["audiences"]:
            return {"status": {"authenticated": False, "error": f"token audiences [{audience}] is invalid for the target audiences"}}
        return {"status": {"authenticated": True, "audiences": [audience], "user": {"username": username, "extra": extra}}}

    def _object(self, method, plural, namespace, name, body):
        given = json.loads(body) if body else None
        key = (plural, namespace, name or given["metadata"]["name"])
        found = self.objects.get(key)
        if method == "GET":
            return (200, found) if found else _failure(404, "NotFound", f'{plural} "{name}" not found')
        if method == "POST" and found:
            return _failure(409, "AlreadyExists", f'{plural} "{key[2]}" already exists')
        if method == "PUT" and (not found or given["metadata"].get("resourceVersion") != found["metadata"]["resourceVersion"]):
            return _failure(409, "Conflict", "the object has been modified; please apply your changes to the latest version and try again")
        return (200 if found else 201), self._put(key, given)

    def _put(self, key, given):
        self.store.version += 1
        text = given.pop("stringData", None)
        if text is not None:
            given["data"] = {name: base64.b64encode(value.encode()).decode() for name, value in text.items()}
        self.objects[key] = {**given, "metadata": {**given["metadata"], "resourceVersion": str(self.store.version)}}
        if key[0] == "configmaps":
            folder = self.state / "configmaps" / key[2]
            folder.mkdir(parents=True, exist_ok=True)
            for name, value in given["data"].items():
                self.replace(folder / name, value.encode())
        return self.objects[key]


def _failure(code, reason, message):
    return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message}
