"""Round costs, with which a test can be worked out by hand."""

import pytest
from imc_capacity.constants import Constants, load


@pytest.fixture(scope="session")
def shipped() -> Constants:
    """The constants that come with the package."""
    return load()


@pytest.fixture
def round_costs() -> Constants:
    """Costs that are easy to compute with."""
    return Constants(
        send_request_us=100,
        send_message_us=20,
        append_wait_us=1_000,
        redis_batch_us=40,
        redis_message_us=10,
        redis_heard_batch_us=2,
        redis_heard_message_us=1,
        redis_row_us=5,
        push_wake_us=300,
        push_message_us=5,
        push_write_us=10,
        push_byte_us=0.001,
        push_frame_us=25,
        keep_alive_us=2,
        projector_row_us=50,
        database_row_us=30,
        database_page_us=300,
        query_page_us=500,
        log_message_bytes=300,
        log_content_bytes=1,
        log_client_id_bytes=100,
        log_app_bytes=4_000,
        row_message_bytes=500,
        row_content_bytes=1.5,
        row_group_bytes=200,
        request_bytes=200,
        push_bytes=300,
        command_api_bytes=80e6,
        push_node_bytes=70e6,
        gateway_bytes=20_000,
        query_api_bytes=60e6,
        projector_bytes=100e6,
    )
