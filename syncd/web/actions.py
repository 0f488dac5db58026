"""What may be asked of a running syncd, by who has shown the token or came through its own socket."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from syncd.errors import HeldError, UsageError
from syncd.web import access
from syncd.web.access import SESSION_S, SESSIONS
from syncd.web.keys import WINDOW
from syncd.web.render import page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from syncd.window import Actions

NOT_ALLOWED = (
    "this may be done with the token alone (service.listen_token), or through the socket in the state directory\n"
)
LONGEST_REASON = 1000  # characters
MOST_NAMED = 10  # of what is left out
FORM = "application/x-www-form-urlencoded"
NO_FORM = f"send it as a form: {FORM}, in UTF-8\n"


@dataclass(frozen=True, slots=True)
class Done:
    """What is said of what was done."""

    said: str
    left_out: Sequence[dict[str, str]] = ()  # "path" and "reason" of the first of what it does not cover
    more: int = 0  # how much else it does not cover


def routes() -> Iterable[web.RouteDef]:
    """Return what is answered at which path."""
    return [
        web.get("/login", _login_form),
        web.post("/login", _login),
        web.post("/logout", _logout),
        web.post("/do/snapshot", _doing(_snapshot)),
        web.post("/do/pin", _doing(_pin)),
        web.post("/do/approve", _doing(_approve)),
        web.post("/do/discard", _doing(_discard)),
        web.post("/do/rescan", _doing(_rescan)),
    ]


def _doing(
    act: Callable[[Actions, Any], Awaitable[Done]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        actions = request.app[WINDOW].actions
        if actions is None or not request[access.MAY_ACT]:
            raise web.HTTPForbidden(text=NOT_ALLOWED)
        return page(request, "done.html", done=await act(actions, await _form(request)))

    return handle


async def _form(request: web.Request) -> Any:
    """Return the fields that were sent. In UTF-8 only: there are encodings that take minutes to decode."""
    encoded = (request.charset or "utf-8").lower()
    if request.content_type.startswith("multipart/") or encoded not in {"utf-8", "us-ascii"}:
        raise web.HTTPUnsupportedMediaType(text=NO_FORM)
    try:
        return await request.post()
    except (UnicodeDecodeError, web.RequestPayloadError) as error:
        raise web.HTTPBadRequest(text=NO_FORM) from error


async def _snapshot(actions: Actions, form: Any) -> Done:
    answer = await actions.snapshot(_reason(form))
    if answer["held"]:
        raise HeldError(
            "no snapshot was taken", cause=answer["held"], next_step="see Now, where what waits for you is answered"
        )
    paths = answer["left_out"]
    but = f", but for {len(paths):,} {'path' if len(paths) == 1 else 'paths'}" if paths else ""
    if answer["tag"] is None:
        said = f"There is nothing to commit{but}: no snapshot has been made yet."
    else:
        said = f"The newest snapshot is {answer['tag']}: it holds all that was there when you asked{but}."
    return Done(said, paths[:MOST_NAMED], max(0, len(paths) - MOST_NAMED))


async def _pin(actions: Actions, form: Any) -> Done:
    answer = await actions.pin(str(form.get("reference", "")), str(form.get("reason", "")))
    return Done(f"Pinned: {answer['tag'] or answer['commit_id']}.")


async def _approve(actions: Actions, form: Any) -> Done:
    answer = await actions.answer(_shown(form), discard=False)
    return _answered("Approved", answer)


async def _discard(actions: Actions, form: Any) -> Done:
    answer = await actions.answer(_shown(form), discard=True)
    return _answered("Kept published", answer)


async def _rescan(actions: Actions, _form: Any) -> Done:
    answer = await actions.rescan()
    return Done(f"Listed anew: {', '.join(answer['sources'])}.")


def _answered(what: str, answer: dict[str, Any]) -> Done:
    parts = [
        f"{answer['images']:,} images" if answer["images"] else "",
        *(f"table {name}" for name in answer["tables"]),
        "the branch" if answer["branch"] else "",
    ]
    told = ", ".join(part for part in parts if part)
    return Done(
        f"{what}: {told}." if told else "Nothing of what you were shown waits any more: it was answered meanwhile."
    )


def _shown(form: Any) -> dict[str, Any]:
    """Return what the person saw, as the form carries it."""
    try:
        shown = json.loads(str(form.get("shown", "")))
        return {
            "revision": None if shown["revision"] is None else int(shown["revision"]),
            "tables": {str(name): str(hold) for name, hold in shown["tables"].items()},
            "branch": str(shown["branch"]),
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError("the form is not one of these pages", next_step="load the page again") from error


def _reason(form: Any) -> str:
    reason = str(form.get("reason", "")).strip()
    if len(reason) > LONGEST_REASON:
        raise UsageError(
            f"the reason has {len(reason):,} characters", next_step=f"write 1 to {LONGEST_REASON:,} of them"
        )
    return reason


async def _login_form(request: web.Request) -> web.Response:
    return page(request, "login.html", wrong=False)


async def _login(request: web.Request) -> web.Response:
    sessions = request.app[SESSIONS]
    session = sessions.begin(str((await _form(request)).get("token", "")))
    if session is None:
        return page(request, "login.html", code=403, wrong=True)
    answer = web.HTTPSeeOther("/")
    answer.set_cookie(
        sessions.cookie(request), session, max_age=int(SESSION_S), httponly=True, samesite="Strict", path="/"
    )
    raise answer


async def _logout(request: web.Request) -> web.Response:
    sessions = request.app[SESSIONS]
    sessions.end(request)
    answer = web.HTTPSeeOther("/")
    answer.del_cookie(sessions.cookie(request), path="/")
    raise answer
