"""What there is to measure: each name is a module here whose `rows(place)` yields rows. One line adds a family."""

FAMILIES = (
    "canonical_json",
    "journal_cost",
    "verification",
    "replaying",
    "starting",
    "session_cost",
    "whole_run",
    "in_flight",
    "sweeping",
    "step_broker",
    "kernel_sets",
    "bars_at_size",
)
