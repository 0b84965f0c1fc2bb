"""Who a topic is: cluster id and topic id, asked with Metadata version 10.

aiokafka stops at version 5, which has no topic id; a topic deleted and made anew (or a broker with
a wiped disk) keeps its name, and offsets kept for it would silently skip records.
"""

from typing import Any, Self

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)


class TopicIdResponse(Response):
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id_high", Int64),
                ("topic_id_low", Int64),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class TopicIdStruct(RequestStruct):
    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = TopicIdResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id_high", Int64),
                ("topic_id_low", Int64),
                ("name", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicIdRequest(Request[TopicIdStruct]):
    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[TopicIdStruct]) -> TopicIdStruct:
        return request_struct_class([(0, 0, self._topic, {})], False, False, False, {})


class TopicIdentity:
    """`cluster/topic` of one answer; `error_code` is Kafka's, 0 when the topic exists."""

    def __init__(self, error_code: int, identity: str) -> None:
        self.error_code = error_code
        self.identity = identity

    @classmethod
    def of(cls, answer: Any) -> Self:
        topic = answer.topics[0]
        number = ((topic[2] & (2**64 - 1)) << 64) | (topic[3] & (2**64 - 1))
        return cls(topic[0], f"{answer.cluster_id}/{number:032x}")
