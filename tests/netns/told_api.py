"""What the stand-in for an API server (api_server.py) has for those who tell of objects: Events, and the status of routes by JSON patches.
As strict as the real one about both. Remembers who wrote what."""
import copy
import json
import re

_EVENTS = re.compile(r"/apis/events\.k8s\.io/v1/namespaces/([^/]+)/events(?:/([^/]+))?")
_STATUS = re.compile(r"/apis/gateway\.networking\.k8s\.io/v1/namespaces/([^/]+)/(httproutes|grpcroutes)/([^/]+)/status")
_KINDS = {"httproutes": "HTTPRoute", "grpcroutes": "GRPCRoute"}


class ToldApi:
    def __init__(self, store):
        self.store = store
        self.events = {}   # (namespace, name): Event
        self.writes = []   # [client's address, method, path]
        self.refuses = False

    def answer(self, client, method, path, headers, body):
        """(HTTP status, object), or None: this is somebody else's."""
        event, status = _EVENTS.fullmatch(path), _STATUS.fullmatch(path)
        if not event and not status:
            return None
        if method != "GET":
            self.writes.append([client, method, path])
        if self.refuses:
            return _failure(403, "Forbidden", "leat-agent may not do this here")
        if status:
            return self._patch_status(method, *status.groups(), headers, body)
        return self._event(method, *event.groups(), headers, body)

    def _event(self, method, namespace, name, headers, body):
        given = json.loads(body) if body else None
        if method == "POST":
            name = given["metadata"]["name"]
            if (namespace, name) in self.events:
                return _failure(409, "AlreadyExists", f'events "{name}" already exists')
            if wrong := _wrong_event(given, namespace):
                return _failure(422, "Invalid", wrong)
            self.events[namespace, name] = given
            return 201, given
        found = self.events.get((namespace, name))
        if not found:
            return _failure(404, "NotFound", f'events "{name}" not found')
        if method == "PATCH":
            assert headers["Content-Type"] == "application/merge-patch+json" and set(given) == {"series"}, given
            if given["series"]["count"] < 2 or not given["series"]["lastObservedTime"]:
                return _failure(422, "Invalid", "series.count: should be at least 2")
            found["series"] = given["series"]
        return 200, found

    def _patch_status(self, method, namespace, plural, name, headers, body):
        assert method == "PATCH" and headers["Content-Type"] == "application/json-patch+json"
        found = self.store.objects[_KINDS[plural]].get((namespace, name))
        if not found:
            return _failure(404, "NotFound", f'{plural} "{name}" not found')
        try:
            patched = _patched(found, json.loads(body))
        except (KeyError, IndexError, AssertionError):
            return _failure(422, "Invalid", "the server rejected our request due to an error in our request")
        for parent in patched["status"]["parents"]:
            for one in parent.get("conditions", []):
                if not isinstance(one["observedGeneration"], int) or not one["reason"] or "message" not in one or not one["lastTransitionTime"].endswith("Z"):
                    return _failure(422, "Invalid", f"status.parents.conditions: {one}")
        return 200, self.store.put(_KINDS[plural], {**found, "status": patched["status"]})


def _wrong_event(event, namespace):
    """What the API server's own validation would say."""
    regarding = event["regarding"]
    for field, most in (("reportingController", 253), ("reportingInstance", 128), ("action", 128), ("reason", 128), ("eventTime", 40)):
        if not 0 < len(event.get(field, "")) <= most:
            return f"{field}: missing or too long"
    if event.get("type") not in ("Normal", "Warning") or len(event.get("note", "").encode()) > 1024:
        return "type or note"
    if event["metadata"]["namespace"] != namespace or regarding.get("namespace", "default") != namespace:
        return "regarding.namespace: does not match event.namespace"
    return None


def _patched(found, steps):
    document = copy.deepcopy(found)
    for step in steps:
        *way, last = step["path"].split("/")[1:]
        place = document
        for part in way:
            place = place[int(part) if isinstance(place, list) else part]
        key = last if isinstance(place, dict) else len(place) if last == "-" else int(last)
        if step["op"] == "test":
            assert place[key] == step["value"]
        elif step["op"] == "remove":
            del place[key]
        elif step["op"] == "replace":
            assert isinstance(place, list) and place[key] is not None or key in place
            place[key] = step["value"]
        elif isinstance(place, list):
            place.insert(key, step["value"])
        else:
            place[key] = step["value"]
    return document


def _failure(code, reason, message):
    return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message}
