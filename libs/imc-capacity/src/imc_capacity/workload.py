"""What an installation has to carry."""

from dataclasses import dataclass

from imc_capacity.questions import BadAnswer, asked

_GROUPS_OF_AN_APP = 100


@dataclass(frozen=True)
class Workload:
    """The answers. Rates are averages over a day; peaks are `peak_factor` times as high."""

    apps: int = asked("apps", 1, 1_000_000, 10, whole=True)
    sends: float = asked("sends of all apps together", 0, 10_000_000, 500.0, "a second")
    busiest_sends: float | None = asked(
        "sends of the busiest app; if not given, an even share", 0, 10_000_000, None, "a second"
    )
    gateways: int = asked("gateways of each app, on average", 0, 100_000, 10, whole=True)
    busiest_gateways: int | None = asked(
        "gateways of the busiest app; if not given, as the others", 0, 100_000, None, whole=True
    )
    content: int = asked("content of a message, on average", 0, 65_535, 200, "bytes", whole=True)
    batch: int = asked("messages in a request", 1, 500, 1, whole=True)
    by_gateways: float = asked("share of the sends that gateways send, in frames", 0, 1, 0.0)
    client_ids: float = asked("share of the sends that bear a clientMessageId", 0, 1, 1.0)
    log_hours: float = asked("how long the log is kept (IMC_LOG_RETENTION_SECONDS)", 0, 720, 1.0, "hours")
    log_entries: int = asked(
        "most entries kept of one app (IMC_LOG_RETENTION_ENTRIES)", 1, 10**9, 200_000, whole=True
    )
    id_hours: float = asked(
        "how long a clientMessageId is kept (IMC_IDEMPOTENCY_SECONDS)", 0, 720, 1.0, "hours"
    )
    row_days: float = asked("how long rows are kept", 1, 36_500, 365.0, "days")
    groups: int | None = asked(
        "groups of all apps together; if not given, 100 of each", 0, 10**10, None, whole=True
    )
    reads: float = asked("pages of history that are read", 0, 10_000_000, 50.0, "a second")
    peak_factor: float = asked("how many times as high as the average a peak is", 1, 1_000, 3.0)
    push_wait: float = asked(
        "how long a push may wait for others, so that they are written together", 0, 1_000, 5.0, "ms"
    )
    busy: float = asked("the share of a core that may be busy at a peak", 0.05, 0.95, 0.7)
    node_gateways: int = asked("most gateways of one push-node", 1, 50_000, 5_000, whole=True)
    spare: int = asked("pods of each kind that may be away", 0, 100, 1, whole=True)

    @property
    def busiest_rate(self) -> float:
        """Sends of the busiest app a second, on average."""
        return self.sends / self.apps if self.busiest_sends is None else self.busiest_sends

    @property
    def busiest_audience(self) -> int:
        """Gateways of the busiest app."""
        return self.gateways if self.busiest_gateways is None else self.busiest_gateways

    @property
    def other_rate(self) -> float:
        """Sends of each other app a second, on average."""
        return (self.sends - self.busiest_rate) / (self.apps - 1) if self.apps > 1 else 0.0

    @property
    def all_groups(self) -> int:
        """Groups of all apps."""
        return _GROUPS_OF_AN_APP * self.apps if self.groups is None else self.groups

    @property
    def all_gateways(self) -> int:
        """Gateways of all apps."""
        return self.gateways * (self.apps - 1) + self.busiest_audience

    def check(self) -> None:
        """Raises `BadAnswer` if answers contradict each other."""
        share = self.sends / self.apps
        if self.busiest_rate > self.sends:
            raise BadAnswer(
                f"busiest_sends is {self.busiest_rate:,g}, more than sends of all apps, {self.sends:,g}: "
                "sends contains those of the busiest app"
            )
        # An even share that was computed elsewhere may be rounded.
        if self.busiest_rate < share * 0.999:
            raise BadAnswer(
                f"busiest_sends is {self.busiest_rate:,g}, less than an even share of sends, {share:,g}: "
                "then no app is the busiest. Leave it out, or raise it"
            )
        if self.busiest_audience < self.gateways:
            raise BadAnswer(
                f"busiest_gateways is {self.busiest_audience:,}, less than gateways of each app, "
                f"{self.gateways:,}. Leave it out, or raise it"
            )
        if self.all_groups < self.apps:
            raise BadAnswer(
                f"groups is {self.all_groups:,}, less than apps, {self.apps:,}: an app has at least one"
            )
