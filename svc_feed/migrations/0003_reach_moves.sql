-- How far the posts of authors who were pulled are placed with their followers, since
-- they are pulled no more. One row for each author whose reach ever changed.

CREATE TABLE reach_move (
    author_id    bigint  PRIMARY KEY,
    -- Of the change, as svc_graph counts them: an older one is not heeded.
    version      bigint  NOT NULL,
    -- Posts from then on are placed; NULL while readers pull.
    placed_since timestamptz,
    -- Followers up to this one hold them.
    placed_up_to bigint  NOT NULL DEFAULT 0,
    is_done      boolean NOT NULL DEFAULT false
);
