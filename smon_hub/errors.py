"""The one exception that says what a caller may know, and the HTTP status of each of its codes."""

from __future__ import annotations

from typing import Any, Dict, Optional

STATUS = {
    "bad_request": 400,          # not HTTP, not JSON, or not the declared shape
    "unauthorized": 401,         # no credential, or a wrong one
    "forbidden": 403,            # a good credential that does not reach this far
    "not_found": 404,
    "method_not_allowed": 405,
    "timeout": 408,              # the request did not arrive in time
    "conflict": 409,
    "too_large": 413,
    "uri_too_long": 414,
    "unsupported_type": 415,
    "expectation_failed": 417,
    "misdirected": 421,          # the Host header is no name of this hub
    "rate_limited": 429,
    "headers_too_large": 431,
    "internal": 500,
    "not_implemented": 501,
    "unavailable": 503,          # storage or capacity; the caller should come back
    "http_version": 505,
}


class HubError(Exception):
    """A refusal in words that its caller may read.

    code: a key of STATUS. sentence: names the field and the limit. retry_after: whole seconds, sent as
    Retry-After. headers: further headers of the answer (`{"Allow": "GET"}`). detail: further JSON members.
    """

    def __init__(self, code: str, sentence: str, retry_after: Optional[int] = None,
                 headers: Optional[Dict[str, str]] = None, **detail: Any):
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.status = STATUS[code]
        self.retry_after = retry_after
        self.headers = dict(headers or {})
        self.detail = detail

    def body(self) -> Dict[str, Any]:
        """The JSON object of every error answer: error, code and whatever the case adds."""
        return {"error": self.sentence, "code": self.code, **self.detail}
