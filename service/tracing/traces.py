"""Which requests are traced, and where their spans go. The one place that knows OpenTelemetry's SDK.

Knows no calls and no engine but by what was noted of a request (`service/api/trace.py`).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind, format_span_id, format_trace_id, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cellserve.service.api.call_context import Metadata
from cellserve.service.api.facts import RpcMethod, TraceIds
from cellserve.service.api.trace import Trace
from cellserve.service.tracing.spans import RequestSpans

_PARENT: Final = "traceparent"
_EXPORT_SECONDS: Final = 5
_LAST_EXPORT_MILLISECONDS: Final = 2000
_W3C: Final = TraceContextTextMapPropagator()


def exported(endpoint: str) -> SpanProcessor:
    """Sends spans to a collector by OTLP, many at once, on a thread of its own. What it cannot take is dropped, and logged.

    endpoint: http://host:port, or https://host:port for TLS.
    """
    insecure = not endpoint.startswith("https:")
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, insecure=insecure, timeout=_EXPORT_SECONDS))


class Traces:
    """share: of the requests whose caller does not say whether they are traced; who says so is believed.

    draw: a number from 0 to 1, evenly.
    """

    def __init__(
        self,
        processor: SpanProcessor,
        share: float,
        server_version: str,
        instance: str,
        draw: Callable[[], float] = random.random,
    ) -> None:
        resource = Resource.create(
            {"service.name": "cellserve", "service.version": server_version, "service.instance.id": instance}
        )
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("cellserve", server_version)
        self._share = share
        self._draw = draw

    def begin(self, method: RpcMethod, metadata: Metadata) -> Trace | None:
        """As Tracer."""
        parent = _parent(metadata)
        if parent is None:
            if self._draw() >= self._share:
                return None
        elif not get_current_span(parent).get_span_context().trace_flags.sampled:
            return None
        offset_nanoseconds = time.time_ns() - time.monotonic_ns()
        name = f"{method.service}/{method.method}"
        span = self._tracer.start_span(name, parent or Context(), SpanKind.SERVER)
        own = span.get_span_context()
        ids = TraceIds(format_trace_id(own.trace_id), format_span_id(own.span_id))
        spans = RequestSpans(self._tracer, span, set_span_in_context(span, Context()), offset_nanoseconds)
        return Trace(ids, partial(spans.end, method))

    def close(self) -> None:
        """Sends what is left, as far as that takes no longer than a moment. Blocks."""
        self._provider.force_flush(_LAST_EXPORT_MILLISECONDS)
        self._provider.shutdown()


def _parent(metadata: Metadata) -> Context | None:
    """The caller's span; None where there is none that can be read."""
    carried = {key: value for key, value in metadata if key in (_PARENT, "tracestate") and isinstance(value, str)}
    if _PARENT not in carried:
        return None
    context = _W3C.extract(carried, Context())
    return context if get_current_span(context).get_span_context().is_valid else None
