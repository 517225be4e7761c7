"""No secret in anything that the programs write: logs, events, metrics and
answers of all tests of this run. conftest.py looks when they are over."""

from harness import leaks
from harness.reading import get
from harness.tokens import bearer, claims, token


def test_a_leak_would_be_found(make_site):
    """What a stream, a log and an answer hold is looked at."""
    site = make_site()
    site.start("events")
    words = [f"planted-where-we-look-{n}" for n in range(2)]
    site.writer.publish("a", "completed", {"planted": words[0]})
    assert words[0].encode() in get(site, "/events/a").body
    site.tool("no-such-command-" + words[1], check=False)
    text = leaks.written().decode(errors="replace")
    assert all(word in text for word in words)


def test_tokens_in_the_wrong_place(make_site):
    """A token in the path, the query or another header is written nowhere."""
    site = make_site(
        events_auth="ticket", jwt_key="another-secret-0123456789abcdef0123",
    )
    site.start("events")
    text = token(claims())
    for target in (f"/events/{text}", f"/jobs/{text}", f"/{text}",
                   f"/events/a?ticket={text}", f"/events/a?token={text}",
                   f"/events/a?format={text}&wait={text}"):
        answer = get(site, target, bearer(text))
        assert answer.status in (401, 404), target
