"""What `leat metrics` says about the requests of one edge of the service graph."""


class Edge:
    """All requests with these labels; `since` are the metrics of an earlier moment, which are taken off."""

    def __init__(self, metrics, since=(), **labels):
        now, before = _sum(metrics, labels), _sum(since, labels)
        self.requests = now["requests"] - before["requests"]
        self.failed = now["failed"] - before["failed"]
        self._buckets = {le: count - before["buckets"].get(le, 0) for le, count in now["buckets"].items()}

    @property
    def success_percent(self):
        return 100 * (1 - self.failed / self.requests) if self.requests else 0.0

    def quantile_ms(self, share):
        """As Prometheus' histogram_quantile: values are taken to lie evenly within their bucket."""
        wanted, low, below = share * self.requests, 0.0, 0
        for high, count in sorted(self._buckets.items()):
            if count >= wanted > below:
                return low + (high - low) * (wanted - below) / (count - below)
            low, below = high, count
        return low


def _sum(metrics, labels):
    total = {"requests": 0, "failed": 0, "buckets": {}}
    for each in metrics:
        if not labels.items() <= each["labels"].items():
            continue
        if each["name"] == "istio_requests_total":
            total["requests"] += each["value"]
            total["failed"] += each["value"] if each["labels"]["response_code"][0] in "05" else 0
        elif each["name"] == "istio_request_duration_milliseconds":
            for bucket in each["buckets"]:
                total["buckets"][bucket["le"]] = total["buckets"].get(bucket["le"], 0) + bucket["count"]
    return total
