"""What a run found, as records in a file of JSON lines. Tables and verdicts are made from these alone, so that they can be made anew."""
import json

from scenarios import BY_NAME


class Results:
    def __init__(self, records):
        self.machine, self.columns, self.missing, self.broken, self.idle, self.idle_http, self.samples = {}, {}, {}, [], {}, {}, []
        for record in records:
            kind = record["kind"]
            if kind == "machine":
                self.machine = record
            elif kind == "column":
                self.columns[record["name"]] = record
            elif kind == "missing":
                self.missing[record["name"]] = record["why"]
            elif kind == "broken":
                self.broken.append(record)
            elif kind == "idle":
                self.idle[record["column"]] = record
            elif kind == "idle-http":
                self.idle_http[record["column"]] = record
            else:
                self.samples.append(record)

    @classmethod
    def read(cls, path):
        with open(path, encoding="utf-8") as lines:
            return cls(json.loads(line) for line in lines)

    def measured(self):
        """Scenarios of which there is a sample, in their own order."""
        seen = {sample["scenario"] for sample in self.samples}
        return [scenario for name, scenario in BY_NAME.items() if name in seen]

    def of(self, scenario, column):
        return [sample for sample in self.samples if sample["scenario"] == scenario.name and sample["column"] == column]

    def series(self, scenario, column, metric):
        """Round -> value; empty where the column was not measured or has no such figure."""
        if column not in self.columns or (metric.needs and not self.columns[column][metric.needs]):
            return {}
        return {sample["round"]: metric.of(sample) for sample in self.of(scenario, column)}
