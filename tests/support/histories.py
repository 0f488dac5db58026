"""How random histories of a state machine are run."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

HISTORIES = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    print_blob=True,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking whole histories takes longer than reading one
)
