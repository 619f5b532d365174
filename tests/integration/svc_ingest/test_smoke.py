from tests.support.ingest import ingest_room
async def test_smoke():
    async with ingest_room() as room:
        ann, bob = room.people(2)
        p = await room.post(ann, "hi", request_id="r1")
        print(await room.get(bob, p))
        print(await room.create(ann, text="hi", request_id="r1"))
        s = await room.share(bob, p)
        print(s)
        print(await room.batch(p, s.post.post_id, viewer=bob))
        print(await room.like(bob, p))
        c = await room.comment(bob, p)
        print(await room.update(ann, p, text="ho", mask=["text"]))
        print(await room.author_list(bob, ann))
        await room.delete(ann, p)
        print(await room.published())
