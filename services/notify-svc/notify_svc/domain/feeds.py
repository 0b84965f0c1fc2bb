"""Where a reader of a feed may stand."""

from svckit.errors import Gone


class FeedPositionExpired(Gone):
    """Events after the given place have been removed by their age: what is missed is not hidden."""

    code = "feed-position-expired"
