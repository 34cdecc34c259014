# Reads metrics as Prometheus does, with the parser of prometheus_client.
import urllib.request

from common import emit, run
from prometheus_client.parser import text_string_to_metric_families


def families(url):
    """Each family with its kind, its help and its samples. The parser raises an error for a text that it cannot read."""
    with urllib.request.urlopen(f"http://{url}/metrics") as answer:
        text = answer.read().decode()
        kind = answer.headers["Content-Type"]
    emit(contentType=kind)
    for family in text_string_to_metric_families(text):
        samples = [[one.name, one.labels, one.value] for one in family.samples]
        emit(name=family.name, type=family.type, help=family.documentation, samples=samples)


run({"families": families})
