"""What Schemathesis needs to know of Proctor, beside its document.

It is loaded by Schemathesis itself (SCHEMATHESIS_HOOKS=try_everything). PROCTOR_KNOWN says what is there,
as JSON: by the start of addresses, the values in them by their names, and those of members of bodies.
"""

import itertools
import json
import os
import re

import schemathesis

# Nothing is there: a child process cannot be started, and the discard port of loopback is closed.
NO_PROGRAM = "/nonexistent/program"
NOWHERE = r"\1//127.0.0.1:9"
# As browsers and servers read them, whatever stands between scheme and host.
AUTHORITY = re.compile(r"^[\x00-\x20]*(https?:)[/\\\s]*[^/\\?#]*", re.IGNORECASE)

# What is answered where an upstream, or an authorization server, does not answer as it should.
NOT_OURS = {"upstream_failed", "discovery_failed"}


KNOWN = json.loads(os.environ["PROCTOR_KNOWN"])
# What ends things for good: what is known, the key that all is asked with among it, is spared.
ENDINGS = ("/retire", "/revoke")
SPARED = {value for known in KNOWN.values() for value in known.values()}
CALLS = itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs):
    """Every other request is about something that is there, or hardly any would be. And whatever was made
    up is harmless: no program runs, and no address but a closed one is called."""
    turn = next(CALLS)
    about_known = turn % 2 == 0
    path = case.operation.path
    if path.endswith(ENDINGS):
        if SPARED & set(map(str, case.path_parameters.values())):
            case.path_parameters = {name: "nothing" for name in case.path_parameters}
    elif about_known and case.path_parameters:
        known = KNOWN.get("/" + path.split("/")[1], {})
        # What a user is called anybody can make up, so that it is left as it is every other time.
        there = {
            name: known[name]
            for name in case.path_parameters
            if name in known and not (name == "user" and turn % 4 == 0)
        }
        case.path_parameters = {**case.path_parameters, **there}
    members = KNOWN["members"] if about_known else {}
    if isinstance(case.body, (dict, list)):
        case.body = harmless(case.body, members)
    elif isinstance(case.body, (bytes, str)):
        try:
            case.body = json.dumps(harmless(json.loads(case.body), members))
        except ValueError:
            pass


def harmless(value, members, name=""):
    if isinstance(value, dict):
        return {member: harmless(inside, members, member) for member, inside in value.items()}
    if isinstance(value, list):
        return [harmless(inside, members, name) for inside in value]
    if not isinstance(value, str):
        return value
    if name == "command":
        return NO_PROGRAM
    return AUTHORITY.sub(NOWHERE, members.get(name, value))


@schemathesis.check
def only_upstreams_fail(ctx, response, case):
    """Beside not_a_server_error, which is told to expect 502: that is said of upstreams and authorization
    servers that do not answer as they should, and of nothing else."""
    if response.status_code == 502:
        code = response.json().get("code")
        assert code in NOT_OURS, f"answered with 502 {code}"
