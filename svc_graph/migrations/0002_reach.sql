-- Since when people follow and are pulled, and counts that never fall below none.

-- Before the statements that lock tables: this one reads all of one.
UPDATE graph_state
SET follower_count = greatest(follower_count, 0),
    following_count = greatest(following_count, 0)
WHERE follower_count < 0 OR following_count < 0;

-- Not validated: no row is read while the table is locked.
ALTER TABLE graph_state ADD CONSTRAINT graph_state_counts
    CHECK (follower_count >= 0 AND following_count >= 0) NOT VALID;

-- No table is written anew: a default that is the same for all rows is kept with the
-- description of the column. Follows from before have the time of this migration.
ALTER TABLE follow ADD COLUMN created_at timestamptz NOT NULL DEFAULT now();

-- entered_at: from then on an author is pulled; for a grace, posts are fanned out too.
-- leaving_version: the change by which the author is no celebrity any more. The row
-- goes when the followers' feeds hold what was not fanned out.
-- pulled_since: posts from then on may be missing in followers' feeds. Earlier than
-- entered_at where an author came back before all of them were placed.
ALTER TABLE celebrity
    ADD COLUMN entered_at timestamptz NOT NULL DEFAULT '-infinity',
    ADD COLUMN leaving_version bigint,
    ADD COLUMN pulled_since timestamptz NOT NULL DEFAULT '-infinity';
