"""Sweeps and their tasks: the ledger that says what is to be done, who is at it, and what came of it.

A task is leased for a while, by the server's clock. `attempt` grows with every lease, so that whoever lost a lease is
known by the number that he still has. A task that is done stays as it is.
"""

from __future__ import annotations

from alembic import op

revision = "m0003"
down_revision = "m0002"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE market.sweeps (
    sweep_id market.name PRIMARY KEY,
    spec json NOT NULL,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE market.tasks (
    sweep_id market.name REFERENCES market.sweeps,
    key market.name,
    place integer NOT NULL,
    kind market.name,
    question json NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'leased', 'done', 'failed')),
    attempt integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    lost integer NOT NULL DEFAULT 0,
    holder text,
    leased_until timestamptz,
    result json,
    reason text,
    ended_at timestamptz,
    PRIMARY KEY (sweep_id, key),
    UNIQUE (sweep_id, place),
    CONSTRAINT a_lease_has_a_holder_and_an_end CHECK (
        (state = 'leased') = (holder IS NOT NULL AND leased_until IS NOT NULL)),
    CONSTRAINT done_is_what_has_a_result CHECK ((state = 'done') = (result IS NOT NULL))
);
CREATE INDEX tasks_untouched ON market.tasks (sweep_id, kind, place) WHERE state = 'open' AND attempt = 0;
CREATE INDEX tasks_unfinished ON market.tasks (sweep_id, kind, place) WHERE state IN ('open', 'leased') AND attempt > 0;
"""

ONCE = """
CREATE FUNCTION market.refuse_recount() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'task % of sweep % is done and stays as it is', OLD.key, OLD.sweep_id;
END
$$;
CREATE TRIGGER counted_once BEFORE UPDATE ON market.tasks
    FOR EACH ROW WHEN (OLD.state = 'done') EXECUTE FUNCTION market.refuse_recount();
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(ONCE)


AWAY = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM market.sweeps) THEN
        RAISE EXCEPTION 'there are sweeps, and going back would lose what was worked and paid for';
    END IF;
END $$;
DROP TABLE market.tasks;
DROP TABLE market.sweeps;
DROP FUNCTION market.refuse_recount();
"""


def downgrade() -> None:
    """Refused where there are sweeps."""
    op.execute(AWAY)
