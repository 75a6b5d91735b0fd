"""Which modules hold promises, and which tests watch each of them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Area:
    """Modules that hold one promise together, and the tests that must notice a change of any of them.

    Tests are files, or single ones as pytest names them. Paths are from the root of the workspace. Tests that
    end soon come first, since the first failure is enough.
    """

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]


_COMMAND = "services/command-api/src/imc_command_api"
_COMMAND_TESTS = "services/command-api/tests"
_PUSH = "services/push-node/src/imc_push_node"
_PUSH_TESTS = "services/push-node/tests"
_CONTRACTS = "libs/imc-contracts/src/imc_contracts"
_CONTRACTS_TESTS = "libs/imc-contracts/tests"
_QUERY = "services/query-api/src/imc_query_api"
_QUERY_TESTS = "services/query-api/tests"
_SERVICE = "libs/imc-service/src/imc_service"
_SERVICE_TESTS = "libs/imc-service/tests"
_E2E = "tests-e2e"


def _in(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}" for name in names)


AREAS = (
    Area(
        "leases",
        (
            *_in(f"{_COMMAND}/identity", "lease.lua", "worker_lease.py", "snowflake.py"),
            f"{_COMMAND}/domain/ids.py",
        ),
        _in(_COMMAND_TESTS, "test_snowflake.py", "test_worker_lease.py"),
    ),
    Area(
        "log",
        _in(
            f"{_COMMAND}/log",
            *("append.lua", "take_new_app.lua", "writer.py", "script.py", "new_apps.py", "recent.py"),
            "records.py",
        ),
        _in(_COMMAND_TESTS, "test_log_writer.py", "test_log.py", "test_send_quota.py", "test_apps.py"),
    ),
    Area("retries", (f"{_SERVICE}/retry.py",), (f"{_SERVICE_TESTS}/test_retry.py",)),
    Area(
        "send quota",
        (f"{_COMMAND}/quota/send_quota.py", f"{_CONTRACTS}/policies.py", f"{_SERVICE}/watched_file.py"),
        (
            f"{_CONTRACTS_TESTS}/test_policies.py",
            f"{_SERVICE_TESTS}/test_watched_file.py",
            f"{_COMMAND_TESTS}/test_send_quota.py",
        ),
    ),
    Area(
        "gateway quota",
        _in(f"{_PUSH}/cluster", "gateway_quota.py"),
        (
            f"{_PUSH_TESTS}/test_gateway_quota.py",
            f"{_E2E}/test_quotas.py::test_gateways_are_counted_over_all_nodes",
        ),
    ),
    Area(
        "stream",
        _in(
            f"{_PUSH}/stream",
            *(
                "replay_buffer.py",
                "follower.py",
                "log_replay.py",
                "log_reader.py",
                "log_state.py",
                "delivery.py",
                "outbox.py",
            ),
            *("recent_pages.py", "framed_entries.py", "recall_marks.py", "trail.py"),
        )
        + _in(f"{_PUSH}/gateway", "broadcast_group.py"),
        (
            *_in(
                _PUSH_TESTS,
                *(
                    "test_replay_buffer.py",
                    "test_delivery.py",
                    "test_delivery_in_any_order.py",
                    "test_frames.py",
                    "test_stretch.py",
                    "test_broadcast_group.py",
                    "test_recall_marks.py",
                ),
                *("test_follower_reading.py", "test_log_reader.py", "test_follower.py", "test_resume.py"),
                *("test_recent_pages.py", "test_slow.py", "test_trail.py"),
            ),
            f"{_E2E}/properties/test_pushes_in_memory.py::test_pushes_match_the_model",
        ),
    ),
    Area(
        "tokens of gateways",
        _in(f"{_PUSH}/gateway", "token_expiry.py"),
        _in(_PUSH_TESTS, "test_token_expiry.py"),
    ),
    Area(
        "keepalive",
        _in(f"{_PUSH}/gateway", "keepalive.py"),
        _in(_PUSH_TESTS, "test_keepalive.py", "test_gone_peers.py", "test_websocket.py"),
    ),
    Area(
        "takeover",
        _in(f"{_PUSH}/cluster", "takeover.py", "membership.py"),
        _in(
            _PUSH_TESTS,
            *("test_membership.py", "test_takeover.py"),
            "test_placement.py::test_a_lease_follows_readiness_and_old_answers_are_none",
            "test_incoming_frames.py",
        ),
    ),
    Area(
        "drain",
        _in(_PUSH, "cluster/drain.py", "gateway/websocket.py", "gateway/peer_socket.py"),
        (
            f"{_E2E}/deployment/test_compose.py::test_a_service_drops_rights_and_has_time_to_stop",
            *_in(
                _PUSH_TESTS,
                *("test_drain.py", "test_websocket.py"),
                "test_incoming_limits.py::test_a_frame_that_does_not_end_is_given_up",
                "test_incoming_limits.py::test_what_is_finished_is_forgotten",
                "test_incoming_limits.py::test_frames_that_carry_nothing_are_borne_up_to_a_rate",
                "test_incoming_limits.py::test_others_have_their_turn_while_one_floods",
                "test_incoming_limits.py::test_a_flood_after_the_close_frame_is_not_answered",
                "test_java_gateways.py::test_too_many_binary_frames_end_it",
                *("test_slow.py", "test_tcp.py"),
            ),
        ),
    ),
    Area(
        "projection",
        _in(f"{_COMMAND}/store", "changes.py", "coalesce.py", "projection.py"),
        _in(_COMMAND_TESTS, "test_store_changes.py", "test_store_projection.py", "test_erasure.py"),
    ),
    Area(
        "projector",
        _in(
            f"{_COMMAND}/projector",
            *("stretch.py", "worker.py", "writer.py", "quarantine.py", "projector.py"),
        ),
        _in(
            _COMMAND_TESTS,
            *("test_projector_batches.py", "test_projector_reader.py", "test_projector_flow.py"),
            *("test_projector_dead_letters.py", "test_projector_faults.py"),
            "test_erasure.py::test_a_batch_that_was_read_long_ago_is_late",
        ),
    ),
    Area(
        "positions",
        _in(
            f"{_COMMAND}/projector",
            *("advance.lua", "pending.lua", "due.lua", "upkeep.lua", "logs.py"),
        ),
        _in(_COMMAND_TESTS, "test_projector_reader.py", "test_projector_trim.py", "test_apps.py"),
    ),
    Area(
        "ownership of shards",
        _in(f"{_COMMAND}/projector", "enroll.lua", "owners.lua", "hand_over.lua", "ownership.py"),
        _in(_COMMAND_TESTS, "test_projector_ownership.py"),
    ),
    Area(
        "masters of Redis",
        _in(f"{_SERVICE}/redis", "masters.py", "slots.py", "cluster.py", "sentinel.py", "health.py"),
        _in(
            _SERVICE_TESTS,
            *(
                "test_redis_slots.py",
                "test_redis_client.py::test_a_url_without_a_number_means_the_first_database",
                "test_redis_sentinel.py",
                "test_redis_cluster.py",
                "test_redis_health.py",
            ),
        ),
    ),
    Area(
        "freshness of replicas",
        _in(f"{_QUERY}/freshness", "beats.py", "positions.py", "reads.py", "replica.py", "sources.py"),
        _in(_QUERY_TESTS, "test_beats.py", "test_replica.py", "test_reads.py"),
    ),
    Area(
        "archive",
        (
            *_in(f"{_PUSH}/stream", "archive.py", "archive_replay.py"),
            f"{_QUERY}/queries/log_changes.py",
        ),
        (f"{_PUSH_TESTS}/test_archive_replay.py", f"{_QUERY_TESTS}/test_log_changes.py"),
    ),
    Area(
        "exports",
        (f"{_QUERY}/queries/exports.py", "libs/imc-cli/src/imc_cli/exporting.py"),
        (f"{_QUERY_TESTS}/test_exports.py", "libs/imc-cli/tests/test_export.py"),
    ),
    Area(
        "roster",
        _in(f"{_PUSH}/cluster", "roster.py", "roster_pages.py", "roster_rows.py", "disconnects.py"),
        _in(_PUSH_TESTS, "test_closed_gateways.py", "test_roster.py", "test_disconnects.py"),
    ),
    Area(
        "activity and presence",
        _in(_SERVICE, "activity.py", "presence.py"),
        _in(_SERVICE_TESTS, "test_activity.py", "test_presence.py"),
    ),
)
