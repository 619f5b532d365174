-- What the chassis keeps in every service's database.

-- Node numbers of the id generators: one per process start, round and round.
CREATE SEQUENCE node_id AS integer MINVALUE 0 MAXVALUE 1023 CYCLE;

-- Events, written in the transaction that made them true. Rows stay after they
-- are published: the bus is a pipe, and any range can be sent again.
CREATE TABLE outbox (
    id bigint PRIMARY KEY,
    subject text NOT NULL,
    payload bytea NOT NULL,
    trace text NOT NULL,
    request_id text NOT NULL,
    published_at timestamptz
) PARTITION BY RANGE (id);

COMMENT ON TABLE outbox IS 'partitions: width 1 day, ahead 7, keep 8 days';

CREATE INDEX outbox_waiting ON outbox (id) WHERE published_at IS NULL;

-- Which stream the outbox was published to: another one has none of its events.
CREATE TABLE outbox_stream (
    source text PRIMARY KEY,
    created_at timestamptz NOT NULL
);

-- Answers to requests that carried a request id, for repeats of them.
CREATE TABLE request_record (
    caller_id bigint NOT NULL,
    method text NOT NULL,
    key_hash bytea NOT NULL,
    body_digest bytea NOT NULL,
    response bytea,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (caller_id, method, key_hash)
);

CREATE INDEX request_record_age ON request_record (created_at);

-- Who did what. Rows are added, never changed.
CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    who text NOT NULL,
    what text NOT NULL,
    target text NOT NULL,
    outcome text NOT NULL,
    request_id text NOT NULL
);

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit rows are never changed';
END
$$;

CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
