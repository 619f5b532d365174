-- Who reads, and for whom posts are placed. Fan-out passes over readers who pull and
-- over those who have not read for long; a reader without a row counts as having read
-- when their account was made, which their id tells.

CREATE TABLE feed_reader (
    viewer_id     bigint      PRIMARY KEY,
    last_read_at  timestamptz NOT NULL,
    -- When they read before that: what the statement that notes a read answers.
    before_that   timestamptz,
    -- Follows too many: posts are pulled when the reader comes, and none is placed.
    pulls         boolean     NOT NULL DEFAULT false,
    -- False while the index lacks posts that were not placed.
    is_whole      boolean     NOT NULL DEFAULT true
) WITH (fillfactor = 80);
