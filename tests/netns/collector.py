"""A collector of spans for tests: takes OTLP over HTTP as it comes, and decodes it with OpenTelemetry's own package (opentelemetry-proto of
PyPI), so that what Leat sends is read by somebody else's rules. `./dev test` puts the package into build/otlp; without it tests that need
it are skipped."""
import gzip
import sys

import pytest

from http_programs import response, serve
from mesh import REPOSITORY
from shop import NAMESPACE

PORT = 4318


def official():
    """The package's ExportTraceServiceRequest."""
    folder = str(REPOSITORY / "build" / "otlp")
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    except ImportError:
        pytest.skip("needs PyPI's opentelemetry-proto: pip install --target build/otlp opentelemetry-proto")
    return ExportTraceServiceRequest


def taking(status):
    """A handler that says each request, and answers with this status."""
    def handle(talk, say):
        while (request := talk.request()) is not None:
            say(request)
            talk.send(response(status))
    return handle


class Collector:
    """A Service `collector` of one pod that takes spans."""

    def __init__(self, shop, pod, address, status=200):
        self.shop, self.message = shop, official()
        self.url = f"http://collector.{NAMESPACE}:{PORT}"
        self.program = pod.spawn(serve, PORT, taking(status))
        assert self.program.hear() == "listening"
        shop.lab.objects.service("collector", NAMESPACE, [address], {PORT: PORT}, {"name": pod.name})
        self._waiting = []

    def request(self):
        """The next request, as HTTP."""
        return self.program.hear()

    def span(self, wanted=lambda span: True):
        """The next span that is as wanted, with its resource's and its own attributes as dicts."""
        while True:
            for index, span in enumerate(self._waiting):
                if wanted(span):
                    return self._waiting.pop(index)
            self._waiting += self._spans()

    def _spans(self):
        request = self.request()
        assert request.header("content-type") == "application/x-protobuf"
        packed = request.header("content-encoding") == "gzip"
        message = self.message.FromString(gzip.decompress(request.body) if packed else request.body)
        return [Span(resource, span) for resource in message.resource_spans for scope in resource.scope_spans for span in scope.spans]

    def end(self):
        self.program.kill()
        self.shop.lab.objects.remove(f"service-{NAMESPACE}-collector")


class Span:
    def __init__(self, resource, span):
        self.span = span
        self.name, self.kind = span.name, span.kind
        self.trace, self.id, self.parent = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
        self.resource, self.attributes = attributes(resource.resource.attributes), attributes(span.attributes)
        self.status = span.status.code
        self.seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9


def attributes(pairs):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
