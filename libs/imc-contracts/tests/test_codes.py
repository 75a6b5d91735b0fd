import pytest
from imc_contracts.codes import CloseCode, ErrorCode, PushCode

ERRORS = {
    40001: "INVALID_FIELD",
    40101: "UNAUTHENTICATED",
    40301: "FORBIDDEN",
    40400: "PATH_NOT_FOUND",
    40401: "MESSAGE_NOT_FOUND",
    40402: "NOTICE_NOT_FOUND",
    40403: "GATEWAY_NOT_FOUND",
    40500: "METHOD_NOT_ALLOWED",
    40801: "REQUEST_TOO_SLOW",
    40901: "ALREADY_RECALLED",
    40902: "RECALL_WINDOW_PASSED",
    40903: "NOTICE_ALREADY_DELETED",
    40904: "CLIENT_MESSAGE_ID_REUSED",
    40905: "REPLACED",
    41301: "BODY_TOO_LARGE",
    41500: "UNSUPPORTED_MEDIA_TYPE",
    42901: "QUOTA_USED_UP",
    43101: "HEADERS_TOO_LARGE",
    50001: "INTERNAL",
    50301: "UNAVAILABLE",
}
PUSHES = {
    2000: "CONNECTED",
    2001: "MESSAGE",
    2002: "MESSAGE_RECALLED",
    2003: "SEND_ACKNOWLEDGED",
    2004: "NOTICE_PUBLISHED",
    2005: "NOTICE_DELETED",
    2006: "ERASED",
    2007: "GROUPS_HELD",
    2008: "POSITION",
    4000: "NOT_CONNECTED",
    4001: "FRAME_REFUSED",
    4002: "GAP",
}
CLOSES = {
    1001: "GOING_AWAY",
    1003: "BINARY_FRAME",
    1007: "BAD_UTF8",
    1008: "BAD_REQUEST",
    1009: "FRAME_TOO_LARGE",
    1012: "NODE_RESTARTS",
    1013: "TRY_AGAIN_LATER",
    4401: "TOKEN_INVALID",
    4403: "FORBIDDEN",
    4408: "NO_PROGRESS",
    4409: "REPLACED",
    4410: "DISCONNECTED",
}


def test_numbers_are_what_clients_and_gateways_rely_on() -> None:
    assert {int(code): code.name for code in ErrorCode} == ERRORS
    assert {int(code): code.name for code in PushCode} == PUSHES
    assert {int(code): code.name for code in CloseCode} == CLOSES


@pytest.mark.parametrize("code", ErrorCode)
def test_a_retry_can_help_with_our_faults_and_quotas_alone(code: ErrorCode) -> None:
    assert code.is_retryable == (code // 100 in (429, 500, 503))
