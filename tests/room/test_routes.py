"""The room's addresses: who may do what, what nobody may, what is bounded, and that a stream says what has changed."""

import asyncio
import json
from http.cookies import SimpleCookie

import pytest
from event_loops import finished
from starlette.applications import Starlette

from gptoss.room import addresses, limits
from gptoss.room import routes as served
from gptoss.room.rooms import Rooms, code_of
from gptoss.room.streams import Stream

ORDER = """
title = "<b>Two</b>"

[[stop]]
address = "sinks?preset=storyteller"
minutes = 5
headline = "A sink <i>is</i> a gate"
sentence = "A head can let its attention go."
note = "A secret of the speaker's."

[stop.vote]
text = "Where?"
choices = ["The first token", "Nothing"]
answer = "Nothing"
because = "The sink takes it."

[[stop]]
address = "rope"
minutes = 3
headline = "Turning"
sentence = "A pair of numbers turns."
"""
HOST = "lecture.example:8501"


class Answer:
    def __init__(self, sent):
        self.status = sent[0]["status"]
        self.headers = [(key.decode(), value.decode()) for key, value in sent[0]["headers"]]
        self.body = b"".join(message.get("body", b"") for message in sent[1:])
        self.messages = [message["body"] for message in sent[1:] if message.get("body")]

    def header(self, name):
        return dict(self.headers).get(name)

    @property
    def json(self):
        return json.loads(self.body)


class Browser:
    """A browser: its cookies, its network address, and the app that it asks."""

    def __init__(self, base="", address="192.0.2.7"):
        self.app, self.base, self.address = Starlette(routes=served.routes(base)), base, address
        self.cookies = {}

    def get(self, path, **more):
        return finished(self.ask("GET", path, **more))

    def post(self, path, value, **more):
        return finished(self.ask("POST", path, value, **more))

    async def ask(self, method, path, value=None, headers=None, until=None):
        """`until`: an event at which the browser leaves, for answers that have no end."""
        sent = []
        path, _, query = path.partition("?")
        said = {"host": HOST, "cookie": "; ".join(f"{name}={word}" for name, word in self.cookies.items())}
        if method == "POST":
            said |= {"origin": f"http://{HOST}", "content-type": "application/json"}
        said |= headers or {}
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        coming = [{"type": "http.request", "body": body if method == "POST" else b"", "more_body": False}]

        async def receive():
            if not coming and until:
                await until.wait()
            return coming.pop() if coming else {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": method, "path": self.base + path, "raw_path": (self.base + path).encode(),
                 "root_path": "", "scheme": "http", "query_string": query.encode(), "server": ("127.0.0.1", 8501),
                 "client": (self.address, 50_000), "asgi": {"version": "3.0"}, "http_version": "1.1",
                 "headers": [(key.encode(), word.encode()) for key, word in said.items() if word is not None]}
        await self.app(scope, receive, send)
        answer = Answer(sent)
        for name, word in answer.headers:
            if name == "set-cookie":
                self.cookies |= {key: part.value for key, part in SimpleCookie(word).items()}
        return answer

    def act(self, code, act, **more):
        return self.post(f"/room/{code}/act", {"act": act, **more})


@pytest.fixture(autouse=True)
def rooms(monkeypatch):
    """A server of its own for each test."""
    for name, tries in (("OPENINGS", (12, 30.0)), ("SEATS", (400, 0.5)), ("ANSWERS", (20, 0.5))):
        monkeypatch.setattr(served, name, limits.Tries(*tries))
    rooms = Rooms()
    for module in ("routes", "streams"):
        monkeypatch.setattr(f"gptoss.room.{module}.ROOMS", rooms)
    return rooms


@pytest.fixture
def lecturer():
    return Browser()


@pytest.fixture
def code(lecturer):
    return lecturer.post("/room/open", {"order": ORDER}).json["code"]


def test_the_lecturer_has_a_cookie_that_no_script_and_no_other_site_gets(rooms, lecturer, code):
    again = Browser("/x/y")
    opened = again.post("/room/open", {"order": ORDER}, headers={"x-forwarded-proto": "https"})
    cookie = SimpleCookie(opened.header("set-cookie"))[f"gptoss_lead_{opened.json['code']}"]
    assert cookie["httponly"] and cookie["secure"] and (cookie["samesite"], cookie["path"]) == ("strict", "/x/y")
    assert opened.json["address"] == f"https://{HOST}/x/y/room/{opened.json['code']}"
    room = rooms.find(code)
    assert code_of(room.key) == code and lecturer.cookies == {f"gptoss_lead_{code}": room.key}
    for answer in (lecturer.get(f"/room/{code}"), lecturer.get(f"/presenter?room={code}"),
                   lecturer.get(f"/presenter/order?room={code}"), lecturer.get(f"/room/{code}/qr.svg")):
        assert answer.status == 200 and room.key.encode() not in answer.body
        assert "default-src 'none'" in answer.header("content-security-policy")
        assert answer.header("cache-control") == "no-store"


def test_nobody_else_moves_the_room_or_reads_what_is_the_lecturers(rooms, lecturer, code):
    other = Browser()
    other.post("/room/open", {"order": ORDER})
    key = rooms.find(code).key
    other.cookies |= {f"gptoss_lead_{code}": key[:-1] + ("A" if key[-1] != "A" else "B")}
    for stranger in (Browser(), other):
        for act in served.ACTS:
            assert stranger.act(code, act).status == 403
        for path in (f"/room/{code}/votes.csv", f"/presenter/order?room={code}", f"/presenter/events?room={code}"):
            assert stranger.get(path).status == 403
    assert rooms.find(code).shown == (0, 0) and not rooms.find(code).ended


@pytest.mark.parametrize("headers", [
    {"origin": "http://elsewhere.example"}, {"origin": "null"}, {"origin": None}, {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site"}, {"content-type": "text/plain"}, {"origin": f"http://{HOST}.elsewhere.example"}])
def test_no_other_site_sends_in_a_persons_name(rooms, lecturer, code, headers):
    assert lecturer.post(f"/room/{code}/act", {"act": "end"}, headers=headers).status in (403, 415)
    assert lecturer.post("/room/open", {"order": ORDER}, headers=headers).status in (403, 415)
    assert len(rooms._rooms) == 1 and rooms.find(code)


def test_acts_are_those_of_the_list_with_what_they_need(rooms, lecturer, code):
    room = rooms.find(code)
    for bad in ({"act": "go", "stop": 1}, {"act": "go", "stop": "1", "beat": 0}, {"act": "go", "stop": True, "beat": 0},
                {"act": "black"}, {"act": "black", "on": 1}, {"act": "forward", "far": 1}, {"act": "__init__"},
                {"act": ["end"]}, {}, [], "end", None,
                {"act": "leave_out", "stops": [0.5]}, {"act": "leave_out", "stops": [1] * 61}):
        assert lecturer.post(f"/room/{code}/act", bad).status == 400, bad
    for bad in (b"", b"{", b'{"act": NaN}', b"\xff", b"[" * 100_000):
        assert lecturer.post(f"/room/{code}/act", bad).status == 400
    for act, more in (("freeze", {"on": True}), ("go", {"stop": 1, "beat": 9}), ("showing", {"address": "gqa?x=\ud800"})):
        assert lecturer.act(code, act, **more).status == 200
    assert (room.place, room.shown, room.frozen) == ((1, 0), (0, 0), True)
    lecturer.act(code, "freeze", on=False)
    lecturer.act(code, "black", on=True)
    lecturer.act(code, "leave_out", stops=[1])
    assert room.shown == (1, 0) and room.black and room.left_out == {1}
    lecturer.act(code, "back")
    lecturer.act(code, "vote")
    assert room.vote.open and lecturer.act(code, "close_vote").status == 200 and not room.vote.open
    assert lecturer.act(code, "end").status == 200 and rooms.find(code) is None
    assert lecturer.act(code, "forward").status == 410


def test_a_phone_gives_the_room_one_curve_and_needs_its_seat(rooms, code):
    phone, none = Browser(), Browser()
    assert f'value="{served.UNTRAINED}"'.encode() in phone.get(f"/room/{code}").body and 8 < float(served.UNTRAINED) < 9
    for points in ([[0, 8.3], [1, 4]], [[0, 8.3], [0.5, 3.0], [1, 2.5]]):
        assert phone.post(f"/room/{code}/curve", {"points": points}).status == 200
    assert rooms.find(code).curves() == [[(0, 8.3), (0.5, 3.0), (1, 2.5)]]
    assert none.post(f"/room/{code}/curve", {"points": [[0, 1], [1, 1]]}).status == 403
    for bad in (None, [1, 2], [[1]], [["0", 1], [1, 1]], [[0, True], [1, 1]], {}):
        assert phone.post(f"/room/{code}/curve", {"points": bad}).status == 400
    assert phone.post(f"/room/{code}/curve", {"points": [[0, 1]]}).status == 409
    assert phone.post(f"/room/{code}/curve", {"points": [[0, 1], [1, 10 ** 400]]}).status == 409


def test_a_phone_votes_once_and_changes_its_mind_and_needs_its_seat(rooms, lecturer, code):
    lecturer.act(code, "vote")
    phone, second, none = Browser(), Browser(), Browser()
    for one in (phone, second):
        assert one.get(f"/room/{code}").status == 200
        assert one.get(f"/room/{code}").header("set-cookie") is None  # it keeps its seat
    number = rooms.find(code).public()["vote"]["round"]
    assert [one.post(f"/room/{code}/vote", {"round": number, "value": value}).status for one, value in (
        (phone, "Nothing"), (phone, "The first token"), (second, "Nothing"))] == [200, 200, 200]
    assert none.post(f"/room/{code}/vote", {"round": number, "value": "Nothing"}).status == 403
    none.cookies = {f"gptoss_seat_{code}": "00." + phone.cookies[f"gptoss_seat_{code}"].partition(".")[2]}
    assert none.post(f"/room/{code}/vote", {"round": number, "value": "Nothing"}).status == 403
    for bad in ({"round": number, "value": "x" * 1_900}, {"round": number - 1, "value": "Nothing"},
                {"round": number, "value": 10 ** 400}):
        assert phone.post(f"/room/{code}/vote", bad).status == 409
    assert phone.post(f"/room/{code}/vote", {"value": "Nothing"}).status == 400
    assert phone.post(f"/room/{code}/vote", {"round": number, "value": "x" * limits.BODY}).status == 413
    assert rooms.find(code).tally()[0]["answers"] == {"The first token": 1, "Nothing": 1}
    table = lecturer.get(f"/room/{code}/votes.csv")
    assert table.body.count(b"\n") == 3 and "attachment" in table.header("content-disposition")
    seats = [one.cookies[f"gptoss_seat_{code}"].encode() for one in (phone, second)]
    assert not any(seat.partition(b".")[0] in table.body for seat in seats)


def test_one_browser_answers_only_so_often(rooms, lecturer, code, monkeypatch):
    monkeypatch.setattr(served, "ANSWERS", limits.Tries(3, 1e6))
    lecturer.act(code, "vote")
    phone, number = Browser(), rooms.find(code).public()["vote"]["round"]
    phone.get(f"/room/{code}")
    answers = [phone.post(f"/room/{code}/vote", {"round": number, "value": "Nothing"}).status for _ in range(4)]
    assert answers == [200, 200, 200, 429]


def test_codes_are_not_found_by_trying_and_who_is_in_the_room_stays_in(rooms, lecturer, code, monkeypatch):
    monkeypatch.setattr(rooms, "_misses", limits.Tries(5, 1e6))
    phone, guesser = Browser(), Browser()
    phone.get(f"/room/{code}")
    wrong = "BBBB" if code != "BBBB" else "CCCC"
    tried = (f"room/{wrong}", f"room?code={wrong}", f"room/{wrong}/events", f"room/{wrong}/qr.svg",
             f"presenter/order?room={wrong}")
    assert {guesser.get(f"/{path}").status for path in tried} == {404}
    # Now a code that there is looks as one that there is not, from that address, and only from there.
    assert {guesser.get(f"/room/{each}").status for each in (wrong, code)} == {429}
    assert guesser.get(f"/room?code={code}").status == 429
    assert phone.get(f"/room/{code}").status == lecturer.get(f"/room/{code}/qr.svg").status == 200
    assert Browser(address="192.0.2.8").get(f"/room/{code}").status == 200


def test_who_was_in_a_room_hears_that_it_is_over_and_others_that_there_is_none(rooms, lecturer, code):
    phone = Browser()
    phone.get(f"/room/{code}")
    assert phone.get(f"/room/{code}/now").json == rooms.find(code).public()
    lecturer.act(code, "end")
    assert phone.get(f"/room/{code}/now").status == lecturer.get(f"/presenter/order?room={code}").status == 410
    assert Browser().get(f"/room/{code}/now").status == 404
    assert phone.get(f"/room/{code}").status == 200  # the page, which says so
    for _ in range(limits.ROOMS + 1):
        rooms.open(ORDER).end()
    rooms.open(ORDER)
    assert len(rooms._rooms) == 1 and len(rooms._ended) == limits.ROOMS and phone.get(f"/room/{code}/now").status == 404


def test_a_limit_takes_a_household_for_one_and_forgets_the_oldest(monkeypatch):
    monkeypatch.setattr(limits, "ADDRESSES", 2)
    tries = limits.Tries(1, 1e6)
    assert tries.take("2001:db8::1") and not tries.take("2001:db8::2") and tries.take("2001:db8:0:1::1")
    assert tries.take("192.0.2.1") and not tries.take("::ffff:192.0.2.1") and tries.take("2001:db8::1")
    assert len(tries._levels) == 2


def test_rooms_are_opened_only_so_often_and_orders_only_so_long(lecturer, rooms, monkeypatch):
    assert lecturer.post("/room/open", {"order": "x" * 70_000}).status == 413
    assert lecturer.post("/room/open", {"order": "x" * limits.OPENING}).status == 413
    assert lecturer.post("/room/open", {"order": 1}).status == lecturer.post("/room/open", {}).status == 400
    assert lecturer.post("/room/open", {"order": "\ud800 no order"}).status == 200
    monkeypatch.setattr(served, "OPENINGS", limits.Tries(1, 1e6))
    assert [lecturer.post("/room/open", {"order": ORDER}).status for _ in range(2)] == [200, 429]
    monkeypatch.setattr(limits, "ROOMS", len(rooms._rooms))
    assert Browser(address="192.0.2.9").post("/room/open", {"order": ORDER}).status == 409


def test_after_a_restart_the_lecturers_browser_opens_the_room_again(rooms, lecturer, code):
    phone = Browser()
    phone.get(f"/room/{code}")
    rooms._rooms.clear()
    assert phone.get(f"/room/{code}").status == 200  # its page waits for the room
    assert phone.get(f"/room/{code}/events").status == 404
    again = {"order": ORDER, "code": code, "place": [1, 0], "spent": [60, 5.5], "runs": True, "left_out": [0]}
    assert Browser().post("/room/open", again).status == 403
    wrong = "BBBB" if code != "BBBB" else "CCCC"
    lecturer.cookies[f"gptoss_lead_{wrong}"] = lecturer.cookies[f"gptoss_lead_{code}"]
    assert lecturer.post("/room/open", again | {"code": wrong}).status == 403
    assert lecturer.post("/room/open", again | {"code": [code]}).status == 403
    assert lecturer.post("/room/open", again).json["code"] == code
    room = rooms.find(code)
    assert room.shown == (1, 0) and room.clock.runs and room.left_out == {0}
    room.go((0, 0))
    assert lecturer.post("/room/open", again).status == 200 and rooms.find(code) is room and room.shown == (0, 0)
    assert phone.cookies[f"gptoss_seat_{code}"] and room.browser_at(phone.cookies[f"gptoss_seat_{code}"])
    rooms._rooms.clear()
    bad = {"place": ["a", None], "spent": [-1, "x"], "runs": 1, "left_out": {"a": 1}}
    assert lecturer.post("/room/open", again | {"spent": [10 ** 400]}).status == 200
    rooms._rooms.clear()
    assert lecturer.post("/room/open", again | bad).status == 200
    assert rooms.find(code).shown == (0, 0) and not rooms.find(code).clock.runs


def test_a_code_is_asked_for_and_texts_are_shown_as_texts(lecturer, code):
    assert lecturer.get("/room").status == 200 and lecturer.get("/room/").header("location") == "../room"
    assert lecturer.get(f"/room?code={code.lower()}").header("location") == f"room/{code}"
    assert lecturer.get(f"/room/{code.lower()}").header("location") == code
    bad = lecturer.get("/room?code=%3Cb%3E")
    assert bad.status == 404 and b"<b>" not in bad.body.lower() and b"&lt;b&gt;" in bad.body.lower()
    assert b'href="../room/phone.css"' in lecturer.get("/room/BBBBB").body
    for name, kind in (("room/phone.js", "text/javascript"), ("room/phone.css", "text/css"),
                       ("presenter/presenter.js", "text/javascript"), ("presenter/presenter_view.js", "text/javascript"),
                       ("presenter/reopen.js", "text/javascript")):
        answer = lecturer.get(f"/{name}")
        assert answer.status == 200 and answer.header("content-type").startswith(kind)


def test_a_stream_says_the_newest_state_and_ends_with_the_lecture(rooms, lecturer, code):
    async def follow():
        gone = asyncio.Event()
        phone = asyncio.create_task(Browser().ask("GET", f"/room/{code}/events", until=gone))
        leaver = asyncio.create_task(Browser().ask("GET", f"/room/{code}/events", until=gone))
        window = asyncio.create_task(lecturer.ask("GET", f"/presenter/events?room={code}", until=asyncio.Event()))
        while rooms.find(code).phones < 2:
            await asyncio.sleep(0)
        await lecturer.ask("POST", f"/room/{code}/act", {"act": "forward"})
        await asyncio.sleep(0.05)
        gone.set()
        await asyncio.wait_for(asyncio.gather(leaver, phone), 60)
        assert rooms.find(code).phones == 0 and Stream.open == 1
        rooms.find(code).end()
        return await phone, await asyncio.wait_for(window, 60)

    phone, window = finished(follow())
    assert phone.header("content-type").startswith("text/event-stream") and Stream.open == 0
    states = [json.loads(message.partition(b"data: ")[2]) for message in phone.messages]
    assert states[0]["headline"] == "A sink <i>is</i> a gate" and states[-1]["headline"] == "Turning"
    assert not any(word in phone.body for word in (b"secret", b"The sink takes it", rooms._rooms[code].key.encode()))
    told = [json.loads(message.partition(b"data: ")[2]) for message in window.messages]
    assert told[0]["note"] == "A secret of the speaker's." and told[-1]["over"]


def test_streams_are_bounded_and_end_when_the_server_does(rooms, code, monkeypatch):
    assert 0 < limits.listeners() <= 2_000
    for limit, value in (("listeners", lambda: 0), ("PHONES", 0), ("STRANGERS", 0)):
        with monkeypatch.context() as patch:
            patch.setattr(limits, limit, value)
            assert Browser().get(f"/room/{code}/events").status == 503

    async def leave():
        following = asyncio.create_task(Browser().ask("GET", f"/room/{code}/events", until=asyncio.Event()))
        while not rooms.find(code).phones:
            await asyncio.sleep(0)
        rooms.leave()
        return await asyncio.wait_for(following, 60)

    assert b'"over": false' in finished(leave()).messages[-1]


def test_a_browser_with_too_many_streams_loses_its_oldest(rooms, code, monkeypatch):
    monkeypatch.setattr(limits, "WINDOWS", 2)
    phone, other = Browser(), Browser()
    for one in (phone, other):
        one.get(f"/room/{code}")

    async def follow():
        room, never = rooms.find(code), asyncio.Event()
        streams = []
        for count, one in enumerate((phone, other, phone), 1):
            streams.append(asyncio.create_task(one.ask("GET", f"/room/{code}/events", until=never)))
            while room.phones < count:
                await asyncio.sleep(0)
        streams.append(asyncio.create_task(phone.ask("GET", f"/room/{code}/events", until=never)))
        await asyncio.wait_for(streams[0], 60)
        assert room.phones == 3 and not any(stream.done() for stream in streams[1:])
        room.end()
        await asyncio.wait_for(asyncio.gather(*streams), 60)

    finished(follow())


def test_a_phone_gets_an_address_that_it_can_open(monkeypatch):
    monkeypatch.setattr(addresses, "own_address", lambda: "192.0.2.1")
    for app, address in (("http://localhost:8501/", "http://192.0.2.1:8501/room/BCDF"),
                         ("http://127.0.0.1/x/", "http://192.0.2.1/x/room/BCDF"),
                         ("http://[::1]:8501/", "http://192.0.2.1:8501/room/BCDF"),
                         ("https://there.example/x/y/", "https://there.example/x/y/room/BCDF"),
                         ("http://[2001:db8::1]:8501/", "http://[2001:db8::1]:8501/room/BCDF")):
        assert addresses.for_phones(app, "BCDF") == address
    assert all(map(addresses.is_host, ("localhost", HOST, "[::1]:8501", "192.0.2.1")))
    assert not any(map(addresses.is_host, ("", "a b", "a/b", "<b>", "a@b", "a:b", "x" * 300)))
    assert addresses.picture("http://there.example/room/BCDF").startswith("<?xml")


@pytest.mark.parametrize(("base", "query"), [("", ""), ("", "preset=storyteller&room=BCDF"), ("/x/y", "text=%0D%0Aa%3A+b")])
def test_an_address_of_the_first_page_leads_to_the_bare_one_as_it_is(base, query):
    answer = Browser(base).get(f"/start?{query}")
    assert (answer.status, answer.header("location")) == (307, f"./?{query}")
