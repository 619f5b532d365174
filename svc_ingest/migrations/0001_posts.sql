-- Posts, comments, likes, shares and counts. Ids are ordered by time, so one
-- column is primary key, order, keyset and partition key; the worker role makes
-- the partitions of post and comment ahead.

CREATE TABLE post (
    post_id    bigint      NOT NULL,
    author_id  bigint      NOT NULL,
    visibility smallint    NOT NULL,
    reply_to   bigint      NOT NULL,
    share_of   bigint      NOT NULL,
    quote_of   bigint      NOT NULL,
    -- Grows with every edit.
    version    integer     NOT NULL,
    -- The serialised feedmesh.ingest.v1.Post.
    body       bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (post_id)
) PARTITION BY RANGE (post_id);

COMMENT ON TABLE post IS 'partitions: width 28 days, ahead 2';

CREATE INDEX post_by_author ON post (author_id, post_id DESC);

-- Tells an author who deletes twice from a stranger who guesses ids.
CREATE TABLE deleted_post (
    post_id    bigint      PRIMARY KEY,
    author_id  bigint      NOT NULL,
    version    integer     NOT NULL,
    deleted_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX deleted_post_by_age ON deleted_post (deleted_at);

-- One share of a post by a person; the share is a post of its own.
CREATE TABLE share (
    user_id     bigint NOT NULL,
    original_id bigint NOT NULL,
    post_id     bigint NOT NULL,
    PRIMARY KEY (user_id, original_id)
);

CREATE INDEX share_by_original ON share (original_id, post_id);

CREATE TABLE post_like (
    post_id bigint NOT NULL,
    user_id bigint NOT NULL,
    -- Ordered by time; pages the list of likes.
    like_id bigint NOT NULL,
    PRIMARY KEY (post_id, user_id)
);

CREATE INDEX post_like_newest ON post_like (post_id, like_id DESC);
CREATE INDEX post_like_by_user ON post_like (user_id, post_id DESC);

CREATE TABLE comment (
    comment_id bigint NOT NULL,
    post_id    bigint NOT NULL,
    author_id  bigint NOT NULL,
    text       text   NOT NULL,
    PRIMARY KEY (comment_id)
) PARTITION BY RANGE (comment_id);

COMMENT ON TABLE comment IS 'partitions: width 28 days, ahead 2';

CREATE INDEX comment_by_post ON comment (post_id, comment_id DESC);
CREATE INDEX comment_by_author ON comment (author_id);

-- Counts, kept by the counter consumers alone: no like waits for another's row.
CREATE TABLE post_stats (
    post_id       bigint  PRIMARY KEY,
    like_count    bigint  NOT NULL DEFAULT 0 CHECK (like_count >= 0),
    comment_count bigint  NOT NULL DEFAULT 0 CHECK (comment_count >= 0),
    share_count   bigint  NOT NULL DEFAULT 0 CHECK (share_count >= 0),
    -- Grows with every recount.
    version       bigint  NOT NULL DEFAULT 0
) WITH (fillfactor = 80);

-- Version of what a person did, so that copies of it are replaced in order.
CREATE TABLE viewer_version (
    user_id bigint PRIMARY KEY,
    version bigint NOT NULL
) WITH (fillfactor = 80);
