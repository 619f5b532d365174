"""The grammar of google.api.http: what templates match, and what they capture."""

import pytest

from gateway_http.trie import Match, TemplateError, Trie, parse


def matched(template: str, path: str) -> dict[str, str] | None:
    trie: Trie[str] = Trie()
    trie.add("GET", template, template)
    found = trie.match("GET", path)
    if not isinstance(found, Match):
        return None
    return {".".join(name): text for name, text in found.fields.items()}


@pytest.mark.parametrize(
    ("template", "path", "fields"),
    [
        ("/v1/posts", "/v1/posts", {}),
        ("/v1/posts", "/v1/posts/", None),
        ("/v1/posts", "/v1/post", None),
        ("/v1/posts", "/v1/Posts", None),
        ("/v1/p%6Fsts", "/v1/posts", {}),
        ("/v1/posts", "/v1/p%6Fsts", {}),
        # A variable without a pattern is one segment, and not an empty one.
        ("/v1/posts/{post_id}", "/v1/posts/5", {"post_id": "5"}),
        ("/v1/posts/{post_id}", "/v1/posts/", None),
        ("/v1/posts/{post_id}", "/v1/posts/5/6", None),
        ("/v1/posts/{post.post_id}", "/v1/posts/5", {"post.post_id": "5"}),
        ("/v1/posts/{a}/likes/{b}", "/v1/posts/1/likes/2", {"a": "1", "b": "2"}),
        ("/v1/{name=posts/*}", "/v1/posts/5", {"name": "posts/5"}),
        ("/v1/{name=posts/*}", "/v1/users/5", None),
        ("/v1/{name=a/*/b/*}", "/v1/a/1/b/2", {"name": "a/1/b/2"}),
        ("/v1/{name=a/*}/b/{x}", "/v1/a/1/b/2", {"name": "a/1", "x": "2"}),
        # Two stars: any number of segments, also none.
        ("/v1/{name=files/**}", "/v1/files", {"name": "files"}),
        ("/v1/{name=files/**}", "/v1/files/a/b", {"name": "files/a/b"}),
        ("/v1/**", "/v1/a/b/c", {}),
        ("/v1/**", "/v2/a", None),
        ("/{all=**}", "/a/b", {"all": "a/b"}),
        # Verbs.
        ("/v1/users:batchGet", "/v1/users:batchGet", {}),
        ("/v1/users:batchGet", "/v1/users", None),
        ("/v1/users", "/v1/users:batchGet", None),
        ("/v1/users/{id}:suspend", "/v1/users/7:suspend", {"id": "7"}),
        ("/v1/users/{id}:suspend", "/v1/users/7:other", None),
        ("/v1/users/{id}:suspend", "/v1/users/7%3Asuspend", None),
        ("/v1/users/{id}", "/v1/users/7:suspend", {"id": "7:suspend"}),
        ("/v1/users/{id}:go", "/v1/users/a:b:go", {"id": "a:b"}),
        ("/v1/{f=a/**}:go", "/v1/a/b/c:go", {"f": "a/b/c"}),
        # A single segment is unescaped whole; across segments what is reserved stays.
        ("/v1/{x}", "/v1/a%2Fb%20c", {"x": "a/b c"}),
        ("/v1/{x=*}", "/v1/a%2Fb", {"x": "a/b"}),
        ("/v1/{x=**}", "/v1/a%2Fb%20c/d", {"x": "a%2Fb c/d"}),
        ("/v1/{x=**}", "/v1/a%3Ab%7E", {"x": "a%3Ab~"}),
        ("/v1/{x=a/*}", "/v1/a/b%2fc", {"x": "a/b%2fc"}),
        ("/v1/{x}", "/v1/%C3%A9", {"x": "é"}),
        ("/v1/{x}", "/v1/%FF", {"x": "\ufffd"}),
        ("/v1/{x}", "/v1/a%25b", {"x": "a%b"}),
        # Nothing but what the path says.
        ("/v1/{x}", "v1/a", None),
        ("/v1/{x}", "", None),
        ("/v1/{x}", "/", None),
    ],
)
def test_a_template_matches_what_the_grammar_says(
    template: str, path: str, fields: dict[str, str] | None
) -> None:
    """Segments, wildcards, variables, verbs and escapes, one row each."""
    assert matched(template, path) == fields


@pytest.mark.parametrize(
    "template",
    [
        "",
        "v1/posts",
        "/v1//posts",
        "/v1/",
        "/v1/**/posts",
        "/v1/{x=**}/posts",
        "/v1/{x",
        "/v1/{x=}",
        "/v1/{}",
        "/v1/{x.}",
        "/v1/{1x}",
        "/v1/{x={y}}",
        "/v1/{x}/{x}",
        "/v1/{x}y",
        "/v1/posts:",
        "/v1/posts:a/b",
        "/v1/po sts",
    ],
)
def test_what_is_not_a_template_is_refused(template: str) -> None:
    """A mistake in the contract stops the start, not a request."""
    with pytest.raises(TemplateError):
        parse(template)


def test_a_literal_beats_a_star_and_a_star_beats_two() -> None:
    """The most specific template wins, whatever order they came in."""
    trie: Trie[str] = Trie()
    for template in ("/v1/**", "/v1/{x}/b", "/v1/a/{y}", "/v1/a/b", "/v1/{x=**}:go"):
        trie.add("GET", template, template)

    def best(path: str) -> object:
        found = trie.match("GET", path)
        return found.value if isinstance(found, Match) else found

    assert best("/v1/a/b") == "/v1/a/b"
    assert best("/v1/a/c") == "/v1/a/{y}"
    assert best("/v1/c/b") == "/v1/{x}/b"
    assert best("/v1/c/d") == "/v1/**"
    assert best("/v1/c/d:go") == "/v1/{x=**}:go"


def test_a_less_specific_template_serves_what_the_best_does_not_reach() -> None:
    """A literal that leads nowhere does not hide a variable."""
    trie: Trie[str] = Trie()
    trie.add("GET", "/v1/users/me/blocks", "blocks")
    trie.add("GET", "/v1/users/{id}/posts", "posts")
    trie.add("PUT", "/v1/users/me", "put")
    trie.add("GET", "/v1/users/{id}", "get")

    found = trie.match("GET", "/v1/users/me/posts")
    assert isinstance(found, Match)
    assert (found.value, found.fields) == ("posts", {("id",): "me"})
    found = trie.match("GET", "/v1/users/me")
    assert isinstance(found, Match)
    assert found.value == "get"


def test_the_methods_of_a_path_are_told() -> None:
    """Where the method is wrong, the right ones are known."""
    trie: Trie[str] = Trie()
    trie.add("GET", "/v1/posts/{id}", "get")
    trie.add("DELETE", "/v1/posts/{id}", "delete")
    trie.add("POST", "/v1/posts/now", "post")

    assert trie.match("PUT", "/v1/posts/now") == frozenset({"GET", "DELETE", "POST"})
    assert trie.match("PUT", "/v1/posts/5") == frozenset({"GET", "DELETE"})
    assert trie.match("PUT", "/v1/nothing") == frozenset()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/v1/{x}", "/v1/{y}"),
        ("/v1/{x}", "/v1/*"),
        ("/v1/{x=a/*}", "/v1/a/{y}"),
        ("/v1/{x=**}", "/v1/**"),
        ("/v1/a:go", "/v1/%61:go"),
    ],
)
def test_an_ambiguous_pair_is_refused(one: str, other: str) -> None:
    """Two templates of one method that match the same paths fail at build."""
    trie: Trie[None] = Trie()
    trie.add("GET", one, None)
    trie.add("POST", other, None)

    with pytest.raises(TemplateError):
        trie.add("GET", other, None)


def test_a_path_of_many_segments_is_cheap() -> None:
    """As deep as the templates go, and no deeper."""
    trie: Trie[None] = Trie()
    for template in ("/{a}/{b}/{c}", "/{a}/x/{c}", "/x/{b}/{c}", "/x/x/{c=**}"):
        trie.add("GET", template, None)

    assert isinstance(trie.match("GET", "/x" * 2_000), Match)
    assert trie.match("GET", "/y" * 2_000) == frozenset()
