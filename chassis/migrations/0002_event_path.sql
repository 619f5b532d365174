-- What the bus did with events: where it stored them, and those nobody could handle.

-- Sequence of the broker's acknowledgement. A row that waits and has one is published
-- once more: the stream lost it.
ALTER TABLE outbox ADD COLUMN stream_sequence bigint;

-- Its last entry is the mark up to which the stream must reach.
CREATE INDEX outbox_sequence ON outbox (stream_sequence) WHERE published_at IS NOT NULL;

-- Events that a consumer gave up. Sequence and time of storage together name a
-- message for good: a stream that is made anew counts from 1 again.
CREATE TABLE dead_letter (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    durable text NOT NULL,
    subject text NOT NULL,
    sequence bigint NOT NULL,
    stored_at timestamptz NOT NULL,
    event_id text NOT NULL,
    author_ids bigint[] NOT NULL,
    reader_ids bigint[] NOT NULL,
    payload bytea NOT NULL,
    attempts integer NOT NULL,
    error text NOT NULL,
    message text NOT NULL,
    trace text NOT NULL,
    request_id text NOT NULL,
    died_at timestamptz NOT NULL,
    replayed_at timestamptz,
    UNIQUE (durable, sequence, stored_at)
);

CREATE INDEX dead_letter_age ON dead_letter (died_at);
