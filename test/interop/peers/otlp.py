"""Reads bodies of OTLP/HTTP requests, a JSON text a line, by the protocol's own definitions; prints each span's name or the fault."""

import base64
import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

IDS = ("traceId", "spanId", "parentSpanId")


def as_protobuf(body):
    # Where OTLP departs from the usual JSON form: ids are hex there, and base64 in what json_format reads.
    for resource in body["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for key in IDS:
                    if key in span:
                        span[key] = base64.b64encode(bytes.fromhex(span[key])).decode()
    return body


for line in sys.stdin:
    request = trace_service_pb2.ExportTraceServiceRequest()
    try:
        # An unknown field is an error.
        json_format.ParseDict(as_protobuf(json.loads(line)), request)
    except Exception as fault:  # noqa: BLE001
        print(f"fault: {str(fault).splitlines()[0]}")
        continue
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                took = span.end_time_unix_nano - span.start_time_unix_nano
                ids = f"{len(span.trace_id)} {len(span.span_id)} {len(span.parent_span_id)}"
                print(f"{span.name} {ids} {took} {span.status.code} {len(span.attributes)}")
