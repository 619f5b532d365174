-- Accounts, sessions and edges. No foreign keys between edges and people: the
-- writers hold the rows of graph_state locked, which also orders the versions.

-- Versions of the graph: taken with the rows of all concerned people locked, so
-- that they grow for each person in the order of the changes.
CREATE SEQUENCE graph_version;

-- One slim row a person, kept as the tombstone when the account is deleted.
-- No index but the key, so that the counts change in place.
CREATE TABLE graph_state (
    user_id bigint PRIMARY KEY,
    version bigint NOT NULL DEFAULT 0,
    follower_count integer NOT NULL DEFAULT 0,
    following_count integer NOT NULL DEFAULT 0,
    state smallint NOT NULL DEFAULT 1,
    is_private boolean NOT NULL DEFAULT false
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE account (
    user_id bigint PRIMARY KEY,
    handle text NOT NULL,
    display_name text NOT NULL,
    bio text NOT NULL DEFAULT '',
    revision bigint NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL,
    CONSTRAINT account_handle_key UNIQUE (handle)
);

CREATE TABLE credential (
    user_id bigint PRIMARY KEY,
    password_hash text NOT NULL
);

CREATE TABLE session (
    session_id text PRIMARY KEY,
    user_id bigint NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    -- False while a revocation has yet to be told to the edge.
    is_marked boolean NOT NULL DEFAULT false
);
CREATE INDEX session_of_user ON session (user_id);
CREATE INDEX session_expiry ON session (expires_at);
CREATE INDEX session_unmarked ON session (revoked_at)
    WHERE revoked_at IS NOT NULL AND NOT is_marked;

-- Only hashes: who reads this table cannot log in with it.
CREATE TABLE refresh_token (
    token_hash bytea PRIMARY KEY,
    session_id text NOT NULL REFERENCES session ON DELETE CASCADE,
    used_at timestamptz
);
CREATE INDEX refresh_token_session ON refresh_token (session_id);

-- version is that of the change which made the edge: the order of the lists.
CREATE TABLE follow (
    follower_id bigint NOT NULL,
    followee_id bigint NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (follower_id, followee_id)
);
CREATE INDEX follow_followee ON follow (followee_id, follower_id);
CREATE INDEX follow_newest_followers ON follow (followee_id, version, follower_id);
CREATE INDEX follow_newest_following ON follow (follower_id, version, followee_id);

CREATE TABLE follow_request (
    requester_id bigint NOT NULL,
    target_id bigint NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (requester_id, target_id)
);
CREATE INDEX follow_request_newest ON follow_request (target_id, version, requester_id);

CREATE TABLE block (
    blocker_id bigint NOT NULL,
    blocked_id bigint NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (blocker_id, blocked_id)
);
CREATE INDEX block_blocked ON block (blocked_id);
CREATE INDEX block_newest ON block (blocker_id, version, blocked_id);

CREATE TABLE mute (
    muter_id bigint NOT NULL,
    muted_id bigint NOT NULL,
    version bigint NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (muter_id, muted_id)
);
CREATE INDEX mute_muted ON mute (muted_id);
CREATE INDEX mute_newest ON mute (muter_id, version, muted_id);

-- The few whose posts are pulled. A table, not an index over the counts: that
-- would make every change of a count a change of an index.
CREATE TABLE celebrity (
    user_id bigint PRIMARY KEY
);
