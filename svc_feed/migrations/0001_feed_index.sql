-- The feed index: who has which post in their home feed. Filled by fan-out, read by
-- keyset. Everything in it can be rebuilt from graph and posts.

CREATE TABLE feed_entry (
    viewer_id bigint NOT NULL,
    post_id   bigint NOT NULL,
    author_id bigint NOT NULL,
    -- Makes a redelivered event harmless, and serves every read by itself.
    PRIMARY KEY (viewer_id, post_id)
) PARTITION BY RANGE (post_id);

COMMENT ON TABLE feed_entry IS 'partitions: width 7 days, ahead 4';

-- Which generation of hot feeds may be believed. Advanced whenever an entry could not
-- be appended to hot feeds or they could not be dropped; Valkey is told afterwards.
CREATE TABLE hot_generation (
    is_only    boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    generation bigint  NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

INSERT INTO hot_generation DEFAULT VALUES;
