"""Instruments, batches, bars, facts and runs.

A version of a bar or fact is a row that is never changed. Text is compared by bytes (COLLATE "C"), so that orders and
digests are the same on every server.
"""

from __future__ import annotations

from alembic import op

revision = "m0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE DOMAIN market.name AS text COLLATE "C" NOT NULL CHECK (char_length(VALUE) <= 600);
CREATE DOMAIN market.finite AS numeric CHECK (VALUE > '-Infinity' AND VALUE < 'Infinity');

CREATE TABLE market.instruments (
    symbol market.name PRIMARY KEY,
    asset_class text NOT NULL,
    calendar text NOT NULL,
    currency text NOT NULL,
    tick market.finite NOT NULL,
    lot market.finite NOT NULL,
    min_notional market.finite NOT NULL
);

CREATE TABLE market.batches (
    batch_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    digest text NOT NULL,
    ingested_at timestamptz NOT NULL,
    synthetic boolean NOT NULL,
    adjustment text NOT NULL,
    details json
);

CREATE TABLE market.bars (
    symbol market.name,
    "interval" market.name,
    open_time timestamptz NOT NULL,
    version integer NOT NULL,
    known_at timestamptz NOT NULL,
    session_on date NOT NULL,
    open market.finite NOT NULL,
    high market.finite NOT NULL,
    low market.finite NOT NULL,
    close market.finite NOT NULL,
    volume market.finite NOT NULL,
    flags text[] NOT NULL,
    synthetic boolean NOT NULL,
    batch_id bigint NOT NULL REFERENCES market.batches,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (symbol, "interval", open_time, version),
    CONSTRAINT a_bar_is_known_after_it_opens CHECK (known_at > open_time)
);
CREATE INDEX synthetic_bars ON market.bars (symbol, "interval") WHERE synthetic;

-- published_at: when its source says it was; known_at: from when on we may act on it, later in a correction that states
-- no publication of its own; since: from when on the same had been said without a break.
CREATE TABLE market.facts (
    fact_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    symbol market.name,
    kind market.name,
    key market.name,
    period market.name,
    published_at timestamptz NOT NULL,
    known_at timestamptz NOT NULL,
    since timestamptz NOT NULL,
    source text NOT NULL,
    value market.finite,
    unit text NOT NULL,
    body text,
    effective_on date,
    synthetic boolean NOT NULL,
    batch_id bigint NOT NULL REFERENCES market.batches,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT a_fact_is_known_after_publication CHECK (known_at >= published_at AND known_at >= since)
);
CREATE INDEX facts_by_name ON market.facts (symbol, kind, key, period, published_at, known_at, fact_id);
CREATE INDEX facts_by_series ON market.facts (symbol, kind, key, since, period);
CREATE INDEX facts_by_kind ON market.facts (symbol, kind, since, key, period);
CREATE INDEX synthetic_facts ON market.facts (symbol) WHERE synthetic;

CREATE TABLE market.runs (
    run_id text PRIMARY KEY,
    question json NOT NULL,
    run_dir text NOT NULL,
    started_at timestamptz NOT NULL,
    status text NOT NULL DEFAULT 'running',
    ended_at timestamptz,
    result_digest text,
    summary json
);
"""

# Of a name's rows known at an instant, the latest publication counts, in the version known last.
KNOWN = """
CREATE FUNCTION market.facts_known(as_of timestamptz) RETURNS SETOF market.facts LANGUAGE sql STABLE AS $$
    SELECT f.* FROM market.facts f
    WHERE f.since <= as_of AND f.known_at <= as_of AND f.fact_id = (
        SELECT version.fact_id FROM market.facts version
        WHERE version.symbol = f.symbol AND version.kind = f.kind AND version.key = f.key AND version.period = f.period
          AND version.known_at <= as_of
        ORDER BY version.published_at DESC, version.known_at DESC, version.fact_id DESC LIMIT 1
    )
$$;
"""

TRIGGERS = """
CREATE FUNCTION market.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of market.% refused: a correction is a new row', TG_OP, TG_TABLE_NAME;
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON market.bars
    FOR EACH STATEMENT EXECUTE FUNCTION market.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON market.facts
    FOR EACH STATEMENT EXECUTE FUNCTION market.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON market.batches
    FOR EACH STATEMENT EXECUTE FUNCTION market.refuse_change();
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(KNOWN)
    op.execute(TRIGGERS)


def downgrade() -> None:
    """There is no way back: it would delete what is only ever added to."""
    raise NotImplementedError("the first step is not undone; drop the schema market by hand if you mean it")
