"""Edits and deletes over gRPC, and the copies that readers find in Valkey."""

import asyncio

import pytest

from feedmesh.ingest.v1 import post_pb2

from chassis.errors import Aborted, InvalidArgument, NotFound, PermissionDenied
from chassis.freshness import ChangeLog, ChangeLogReader, RecentList, VersionedBytes
from chassis.testing import eventually, refuses

from tests.support.ingest import IngestRoom, ingest_room


async def copy_of(room: IngestRoom, post_id: int) -> post_pb2.Post | None:
    """The post as readers find it in Valkey; None when they must ask."""
    body = VersionedBytes.parse(await room.valkey.get(f"p:{post_id}"))
    return None if body is None else post_pb2.Post.FromString(body)


async def test_an_edit_changes_what_its_mask_names() -> None:
    """Text alone; visibility, time of creation and references stay."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        before = (await room.create(ann, text="one", visibility=2)).post
        after = await room.update(
            ann, before.post_id, text="two", visibility=4, mask=["text"]
        )

        assert (after.text, after.visibility) == ("two", 2)
        assert after.create_time == before.create_time
        assert after.HasField("update_time")
        assert after.etag != before.etag
        assert (await room.get(ann, before.post_id)).post == after
        assert await room.published() == ["post_published", "post_updated"]


async def test_an_edit_without_a_mask_changes_what_is_set() -> None:
    """Unset fields are left as they are."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        post = await room.post(ann, "one")
        after = await room.update(ann, post, visibility=2)

        assert (after.text, after.visibility) == ("one", 2)


async def test_an_edit_that_changes_nothing_is_no_change() -> None:
    """No event and no new etag."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        before = (await room.create(ann, text="one")).post
        after = await room.update(ann, before.post_id, text="one", mask=["text"])

        assert after == before
        assert await room.published() == ["post_published"]


async def test_of_two_edits_of_one_etag_one_wins() -> None:
    """The other is told that the post changed."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        before = (await room.create(ann, text="one")).post
        answers = await asyncio.gather(
            *(
                room.update(
                    ann, before.post_id, text=text, mask=["text"], etag=before.etag
                )
                for text in ("two", "three")
            ),
            return_exceptions=True,
        )

        refused = [answer for answer in answers if isinstance(answer, Aborted)]
        assert [error.reason for error in refused] == ["ETAG_MISMATCH"]


async def test_a_repeated_edit_answers_and_does_not_repeat() -> None:
    """With its request id the old etag of the repeat is no conflict."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        before = (await room.create(ann, text="one")).post
        for _ in range(2):
            after = await room.update(
                ann,
                before.post_id,
                text="two",
                mask=["text"],
                etag=before.etag,
                request_id="r",
            )

            assert after.text == "two"
        assert (await room.published()).count("post_updated") == 1


@pytest.mark.parametrize("path", ["author_id", "share_of", "create_time", "nonsense"])
async def test_other_paths_cannot_be_changed(path: str) -> None:
    """A mask that names anything else is refused as a whole."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        post = await room.post(ann, "one")

        with refuses(InvalidArgument, "UPDATE_MASK_INVALID"):
            await room.update(ann, post, text="two", mask=["text", path])
        assert (await room.get(ann, post)).post.text == "one"


async def test_a_share_gets_no_text_and_a_post_keeps_some() -> None:
    """What creating demands, editing cannot get around."""
    async with ingest_room() as room:
        ann, bob = room.people(2)
        post = await room.post(ann)
        share = (await room.share(bob, post)).post.post_id

        with refuses(InvalidArgument, "UPDATE_MASK_INVALID"):
            await room.update(bob, share, text="mine", mask=["text"])
        with refuses(InvalidArgument, "VALIDATION_FAILED"):
            await room.update(ann, post, text="", mask=["text"])


async def test_posts_of_others_are_forbidden_only_where_they_are_seen() -> None:
    """NOT_OWNER for a visible post, else as if there were none."""
    async with ingest_room() as room:
        ann, bob = room.people(2)
        seen = await room.post(ann)
        hidden = await room.post(ann, visibility=4)

        with refuses(PermissionDenied, "NOT_OWNER"):
            await room.update(bob, seen, text="mine", mask=["text"])
        with refuses(PermissionDenied, "NOT_OWNER"):
            await room.delete(bob, seen)
        with refuses(NotFound, "POST_NOT_FOUND"):
            await room.update(bob, hidden, text="mine", mask=["text"])
        with refuses(NotFound, "POST_NOT_FOUND"):
            await room.delete(bob, hidden)
        assert await room.published() == ["post_published"] * 2


async def test_deleting_twice_is_no_error_to_the_author() -> None:
    """To anybody else the post is one that never was."""
    async with ingest_room() as room:
        ann, bob = room.people(2)
        post = await room.post(ann)
        await room.delete(ann, post)
        await room.delete(ann, post, etag="old")

        with refuses(NotFound, "POST_NOT_FOUND"):
            await room.delete(bob, post)
        with refuses(NotFound, "POST_NOT_FOUND"):
            await room.get(ann, post)
        assert (await room.published()).count("post_deleted") == 1


async def test_a_delete_with_an_old_etag_deletes_nothing() -> None:
    """The author had not seen the last edit."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        before = (await room.create(ann, text="one")).post
        await room.update(ann, before.post_id, text="two", mask=["text"])

        with refuses(Aborted, "ETAG_MISMATCH"):
            await room.delete(ann, before.post_id, etag=before.etag)
        assert (await room.get(ann, before.post_id)).post.text == "two"


async def test_shares_vanish_with_their_original() -> None:
    """At once for readers, and soon from the store, with an event of their own."""
    async with ingest_room() as room:
        ann, bob, eve = room.people(3)
        post = await room.post(ann)
        shares = [(await room.share(user, post)).post.post_id for user in (bob, eve)]
        await room.like(bob, post)
        await room.comment(eve, post)
        await room.delete(ann, post)

        for share in shares:
            with refuses(NotFound, "POST_NOT_FOUND"):
                await room.get(eve, share)

        async def nothing_is_left() -> None:
            for table in ("post", "share", "post_like", "comment", "post_stats"):
                count = await room.pool.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - names of our own
                assert count == 0, table

        await eventually(nothing_is_left)
        assert (await room.published()).count("post_deleted") == 3


async def test_a_new_post_is_found_without_asking() -> None:
    """Its bytes and its place among the author's own are in Valkey with the answer."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        post = (await room.create(ann, text="hi")).post
        own = await room.valkey.get(RecentList(room.valkey).key(ann))

        assert await copy_of(room, post.post_id) == post
        assert RecentList.unpack(own) == [post.post_id]


async def test_changes_are_logged_for_near_caches() -> None:
    """An edit and a delete reach whoever follows the change log."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        post = await room.post(ann)
        log = ChangeLog(room.valkey)
        reader = ChangeLogReader(log)

        async def changes() -> tuple[str, ...]:
            head = await room.valkey.get(log.head_key)
            return (await reader.apply(head, room.valkey.epoch())).entries

        await room.update(ann, post, text="two", mask=["text"])
        await changes()
        await room.update(ann, post, text="three", mask=["text"])
        assert f"p:{post}" in await changes()
        await room.delete(ann, post)
        assert f"p:{post}" in await changes()


@pytest.mark.parametrize("change", ["update", "delete"])
async def test_a_reader_of_the_old_row_cannot_put_it_back(change: str) -> None:
    """Between the mark and the commit, and after it, an older copy is refused."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        old = (await room.batch(post := await room.post(ann, "old")))[0]
        copies = VersionedBytes(room.valkey)
        ttl = room.settings.copy_ttl

        async def put_old() -> None:
            body = old.post.SerializeToString(deterministic=True)
            await copies.put(f"p:{post}", old.version, body, ttl)

        # Holds the row, so that the change waits between its start and its mark.
        async with room.pool.transaction() as tx:
            await tx.fetch("SELECT 1 FROM outbox FOR UPDATE")
            await tx.execute("LOCK TABLE outbox IN SHARE MODE")
            changing = asyncio.get_running_loop().create_task(
                room.update(ann, post, text="new", mask=["text"])
                if change == "update"
                else _deleted(room, ann, post)
            )
            await put_old()
        await changing
        await put_old()

        found = await copy_of(room, post)
        assert found is None if change == "delete" else found and found.text == "new"


async def _deleted(room: IngestRoom, ann: int, post: int) -> None:
    await room.delete(ann, post)


async def test_a_change_takes_the_copy_away_before_it_commits() -> None:
    """Whoever reads during the commit must ask, and is told to ask again after."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        post = await room.post(ann, "old")
        # The commit waits here, after the mark was made.
        await room.pool.execute(
            """
            CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER hold AFTER UPDATE ON post
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold()
            """
        )
        async with room.pool.transaction() as tx:
            await tx.execute("SELECT pg_advisory_xact_lock(7)")
            editing = asyncio.get_running_loop().create_task(
                room.update(ann, post, text="new", mask=["text"])
            )

            async def is_marked() -> None:
                assert await copy_of(room, post) is None

            await eventually(is_marked, timeout=0.4)
            # Asks the record, where the old row still is, and must not leave it.
            assert (await room.batch(post))[0].post.text == "old"
            assert await copy_of(room, post) is None
        await editing

        found = await copy_of(room, post)
        assert found is not None
        assert found.text == "new"
