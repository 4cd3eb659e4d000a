"""Answers by meaning: given to a question that means the same, and to nobody else's; with a model that was trained."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.images.gateway.pods import Redis
from tests.images.gateway.similarity.parts import (
    cache_lab,
    chat,
    embedding_server,
    redis_with_vector_sets,
)
from tests.images.launched import free_port
from tests.images.locked_environment import NotHereError

SIMILAR = {"similar": {"embeddingModel": "vectors"}}
ANY = {"name": "any", "team": "one"}
SAME = [
    ("How do I reset my password?", "How can I reset my password?"),
    ("How do I reset my password?", "how do i reset my password"),
    ("How do I cancel my subscription?", "I want to cancel my subscription, how?"),
    ("What is the weather like in Paris at 9 pm?", "What's the weather like in Paris at 9 pm?"),
    ("Could you explain how photosynthesis works?", "Can you explain how photosynthesis works"),
]
OTHER = [
    # One thing is another.
    ("What is the capital of France?", "What is the capital of Spain?"),
    ("what is the capital of france?", "what is the capital of spain?"),
    ("Is Anna Weber still employed here?", "Is Anna Becker still employed here?"),
    ("How much is a ticket for 2 adults?", "How much is a ticket for 3 adults?"),
    ("How many days are two weeks?", "How many days are three weeks?"),
    ("Which shops are open on sunday morning?", "Which shops are open on monday morning?"),
    ("Is version 3.11.4 still supported?", "Is version 3.11.5 still supported?"),
    # One is the other turned round.
    ("Is it safe to eat raw eggs?", "Is it not safe to eat raw eggs?"),
    ("convert usd to eur", "convert eur to usd"),
    ("convert usd to eur please", "please convert eur to usd"),
    ("does a dog bite a man", "does a man bite a dog"),
    ("How do I enable two factor login?", "How do I disable two factor login?"),
    ("list the advantages of tea", "list the disadvantages of tea"),
    ("increase the memory limit", "decrease the memory limit"),
    ("flights from Paris to London", "flights from London to Paris"),
    # Programs and addresses.
    ("What does a = b ? 1 : 2 mean?", "What does a = c ? 1 : 2 mean?"),
    ("open https://example.org/alpha for me", "open https://example.org/beta for me"),
    # Too little to tell.
    ("yes please", "yes, please"),
]


@pytest.fixture(scope="module")
def embeddings():
    try:
        with embedding_server() as url:
            yield url
    except NotHereError as reason:
        pytest.fail(str(reason))


@pytest.fixture(scope="module", params=["lists", "vector sets"])
def redis(request, tmp_path_factory):
    """Debian's, as it is installed, and one that looks vectors up itself."""
    folder = tmp_path_factory.mktemp("redis")
    redis = Redis(folder, free_port())
    if request.param == "vector sets":
        redis = redis_with_vector_sets(folder)
        if redis is None:
            pytest.skip("there is no package of Redis 8 for this machine")
    else:
        redis.start()
    yield redis
    redis.kill()


@pytest.fixture(scope="module")
def lab(redis, embeddings):
    with cache_lab() as lab:
        yield lab


class Asking:
    """Ask a cache, whose settings :meth:`begin` changes."""

    def __init__(self, lab, redis, embeddings):
        self._lab, self._redis, self._embeddings = lab, redis, embeddings

    def begin(self, cache=SIMILAR, made_under=""):
        self._lab.begin(cache, self._redis.port, self._embeddings, made_under)

    def __call__(self, body, holder=ANY, **more):
        return self._lab.ask(holder, body, **more)


@pytest.fixture
def ask(lab, redis, embeddings):
    """Ask a cache with nothing in it."""
    assert redis.command("FLUSHALL") == "+OK"
    asking = Asking(lab, redis, embeddings)
    asking.begin()
    return asking


def test_a_question_that_means_the_same_gets_the_answer(ask):
    for number, (first, second) in enumerate(SAME):
        ask.begin(made_under=str(number))
        assert ask(chat(first))["cache"] == "miss"
        answer = ask(chat(second))
        assert (answer["cache"], answer["question"]) == ("semantic", first), second


def test_a_question_that_means_another_thing_does_not(ask):
    for number, (first, second) in enumerate(OTHER):
        ask.begin(made_under=str(number))
        assert ask(chat(first))["cache"] == "miss"
        assert ask(chat(second))["question"] == second


@pytest.mark.parametrize(
    "other",
    [
        {"model": "large"},
        {"temperature": 0.2},
        {"max_tokens": 50},
        {"stream": True},
        {"user": "else"},
        {"response_format": {"type": "json_object"}},
    ],
)
def test_all_else_must_be_equal(ask, other):
    (first, second), system = SAME[0], {"role": "system", "content": "Be brief."}
    ask(chat(first, system))
    assert ask(chat(second, system))["cache"] == "semantic"
    assert ask({**chat(second, system), **other})["cache"] == "miss"
    assert ask(chat(second, {"role": "system", "content": "Be thorough."}))["cache"] == "miss"
    assert ask(chat(second, system, {"role": "user", "content": "hi"}))["cache"] == "miss"
    assert ask(chat(second, system), release="2")["cache"] == "miss"


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"seed": 3},
        {"temperature": 1.5},
        {"logprobs": True},
        {"n": 2},
    ],
)
def test_what_wants_its_own_answer_gets_it(ask, fields):
    first, second = SAME[0]
    ask(chat(first, **fields))
    assert ask(chat(second, **fields))["cache"] == "miss"
    assert ask(chat(first, **fields))["cache"] == "hit"


def test_images_and_results_of_tools_are_never_compared(ask):
    first, second = SAME[0]
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    turns = [
        [{"role": "user", "content": [{"type": "text", "text": "look"}, image]}],
        [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}],
        [{"role": "tool", "content": "12", "tool_call_id": "1"}],
    ]
    for earlier in turns:
        ask(chat(first, *earlier))
        assert ask(chat(second, *earlier))["cache"] == "miss"
    with_image = [{"type": "text", "text": first}, image]
    ask({"model": "tiny", "messages": [{"role": "user", "content": with_image}]})
    assert ask(chat(second))["cache"] == "miss"


def test_a_client_may_ask_for_exactly_its_answer(ask):
    first, second = SAME[0]
    ask(chat(first), directives={"no-semantic": True})
    assert ask(chat(second))["cache"] == "miss"  # that one was kept for its own question alone
    assert ask(chat("How might I reset my password?"), directives={"no-semantic": True})["cache"] == "miss"
    assert ask(chat("How might I reset my password?"), directives={"no-cache": True})["cache"] == "miss"


def test_max_tokens_that_the_gateway_chose_do_not_count(ask):
    first, second = SAME[0]
    ask(chat(first, max_tokens=100), maxTokensLeftOpen=True)
    assert ask(chat(second, max_tokens=98), maxTokensLeftOpen=True)["cache"] == "semantic"
    assert ask(chat(second, max_tokens=98))["cache"] == "miss"


def test_other_guardrails_give_no_answer_that_was_made_under_the_old_ones(ask):
    first, second = SAME[0]
    ask(chat(first))
    ask.begin(made_under='{"output":["email"]}')
    assert [ask(chat(text))["cache"] for text in (first, second)] == ["miss", "semantic"]
    ask.begin()
    assert ask(chat(first))["cache"] == "hit"


def test_the_answer_of_an_expired_question_is_not_given(ask, redis):
    first, second = SAME[0]
    ask(chat(first))
    for key in keys(redis, "answer:*"):
        redis.command("DEL", key)
    assert ask(chat(second))["cache"] == "miss"
    assert ask(chat("How might I reset my password?"))["question"] == second


def test_a_group_has_a_bound_and_an_end(ask, redis):
    ask.begin({"similar": {"embeddingModel": "vectors", "maxEntries": 3, "threshold": 1}, "ttlSeconds": 100})
    for word in ("cats", "trains", "cheese", "clouds", "rivers", "music"):
        ask(chat(f"tell me something about {word}"))
    (group,) = keys(redis, "similar:*")
    count = redis.command("VCARD" if ":set:" in group else "LLEN", group)
    assert count == ":3"
    assert 0 < int(redis.command("TTL", group)[1:]) <= 100


def test_a_broken_index_is_a_miss(ask, redis):
    first, second = SAME[0]
    ask(chat(first))
    (group,) = keys(redis, "similar:*")
    assert redis.command("SET", group, "x") == "+OK"
    assert ask(chat(second))["cache"] == "miss"


def keys(redis, pattern):
    script = f"\"return table.concat(redis.call('KEYS', '{pattern}'), ' ')\""
    return redis.command("EVAL", script, "0").split()


HOLDERS = st.builds(
    lambda name, team, scope: {"name": name, "team": team, "cacheScope": scope},
    st.sampled_from("abc"),
    st.sampled_from([None, "one", "two"]),
    st.sampled_from([None, "key", "team"]),
)
QUESTIONS = st.sampled_from([text for pair in SAME[:3] for text in pair])
REQUESTS = st.tuples(
    HOLDERS,
    QUESTIONS,
    st.booleans(),
    st.sampled_from([{}, {}, {}, {"no-cache": True}, {"no-store": True}, {"no-semantic": True}]),
)
SETTINGS = st.builds(
    lambda scope, similar: {"scope": scope, **similar},
    st.sampled_from(["key", "team"]),
    st.sampled_from([{}, SIMILAR, {"similar": {"embeddingModel": "vectors", "threshold": 0.85}}]),
)


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(SETTINGS, st.lists(REQUESTS, min_size=2, max_size=12))
def test_no_answer_of_one_key_is_ever_served_to_another(lab, redis, embeddings, cache, requests):
    """Whatever the settings: only keys of a team that both share get each other's answers. A key is of one team."""
    assert redis.command("FLUSHALL") == "+OK"
    lab.begin(cache, redis.port, embeddings)
    known = {}
    for holder, text, stream, control in requests:
        holder = known.setdefault(holder["name"], holder)
        answer = lab.ask(holder, chat(text, stream=stream), directives=control)
        other = known[answer["for"]]
        if other is holder:
            continue
        scopes = {each["cacheScope"] or cache["scope"] for each in (holder, other)}
        assert scopes == {"team"}
        assert holder["team"] == other["team"] is not None
