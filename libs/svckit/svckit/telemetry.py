"""Traces, logs and metrics: one trace follows a request through outbox, log and consumer.

Spans go to a JSON-lines file (`trace_file`) and, where OTEL_EXPORTER_OTLP_ENDPOINT is set, to a
collector. Attributes hold ids and codes, never personal data.
"""

import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from opentelemetry import context, propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import ExcInfo

_tracer = trace.get_tracer("careloop")
_w3c, _ids = TraceContextTextMapPropagator(), RandomIdGenerator()
_SAMPLED = trace.TraceFlags.SAMPLED
# a traceparent as we write it: its trace and its flags
_WRITTEN = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")
# whether spans are exported at all
_leaves = False
# the frames' variables are rows and bodies
_frames = ExceptionDictTransformer(show_locals=False)


def setup(service: str, *, trace_file: Path | None, log_level: str) -> None:
    """Configure structured logs and the tracer of this process; a second call does nothing."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_trace,
            structlog.processors.ExceptionRenderer(_without_values),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelName(log_level.upper())
        ),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    if isinstance(trace.get_tracer_provider(), TracerProvider):
        return
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    if trace_file:
        trace_file.parent.mkdir(parents=True, exist_ok=True)
        out = trace_file.open("a", buffering=1)
        exporter = ConsoleSpanExporter(
            out=out, formatter=lambda span: span.to_json(indent=None) + "\n"
        )
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500))
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):  # the variable OpenTelemetry itself defines
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415  # slow to import
            OTLPSpanExporter,
        )

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    global _leaves  # noqa: PLW0603  # a process has one tracer
    _leaves = bool(trace_file or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"))
    trace.set_tracer_provider(provider)


def _without_values(exc_info: ExcInfo) -> list[dict[str, Any]]:
    """Return types and places: drivers and validators repeat in their texts what they were given."""
    return _bare(_frames(exc_info))


def _bare(stacks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for stack in stacks:
        del stack["exc_value"], stack["exc_notes"]
        stack["exceptions"] = [_bare(inner) for inner in stack["exceptions"]]
    return stacks


def _add_trace(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if found := trace_id():
        event["trace_id"] = found
    return event


def trace_id() -> str:
    """Return the current trace's id in hex, or an empty string outside a trace."""
    current = trace.get_current_span().get_span_context()
    return format(current.trace_id, "032x") if current.is_valid else ""


def traceparent() -> str:
    """Return the current W3C traceparent, or an empty string outside a trace."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent", "")


@contextmanager
def span(
    name: str, *, kind: SpanKind = SpanKind.INTERNAL, **attributes: Any
) -> Iterator[trace.Span]:
    """Run the block in a span; an exception marks it as failed and passes on."""
    with _tracer.start_as_current_span(
        name,
        kind=kind,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        try:
            yield current
        except Exception as error:
            # the type only: messages of drivers repeat values
            current.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def outgoing(
    name: str, parent: str, *, kind: SpanKind = SpanKind.CLIENT, **attributes: Any
) -> trace.Span:
    """Start the span of a request that leaves, in the trace that the traceparent names.

    It never is the current one, and whoever starts it ends it. Where no span goes anywhere it is an
    id alone: to record one takes longer than to sign a request.
    """
    return _started(name, parent, kind, attributes)


def _started(name: str, parent: str, kind: SpanKind, attributes: Mapping[str, Any]) -> trace.Span:
    if _leaves:
        at = _w3c.extract({"traceparent": parent}, context.Context())
        return _tracer.start_span(name, at, kind, attributes)
    known = _WRITTEN.fullmatch(parent)
    return trace.NonRecordingSpan(
        trace.SpanContext(
            int(known[1], 16) if known else _ids.generate_trace_id(),
            _ids.generate_span_id(),
            is_remote=False,
            trace_flags=trace.TraceFlags(int(known[2], 16) if known else _SAMPLED),
        )
    )


def traceparent_of(started: trace.Span) -> str:
    """Return the W3C traceparent by which others continue from the span."""
    at = started.get_span_context()
    return f"00-{at.trace_id:032x}-{at.span_id:016x}-{at.trace_flags:02x}"


@contextmanager
def side_by_side(
    named: Sequence[tuple[str, str, Mapping[str, Any]]], *, kind: SpanKind
) -> Iterator[list[str]]:
    """Run the block in a span for each: its name, the traceparent that it continues, attributes.

    Yields each span's own traceparent; none is the current one. An exception marks them all.
    """
    spans = [_started(name, parent, kind, attributes) for name, parent, attributes in named]
    try:
        yield [traceparent_of(each) for each in spans]
    except Exception as error:
        for each in spans:
            each.set_status(Status(StatusCode.ERROR, type(error).__name__))
        raise
    finally:
        for each in spans:
            each.end()


@contextmanager
def continue_from(parent: str | None) -> Iterator[None]:
    """Run the block as part of the trace that the traceparent names, if it names one."""
    if not parent:
        yield
        return
    token = context.attach(propagate.extract({"traceparent": parent}))
    try:
        yield
    finally:
        context.detach(token)
