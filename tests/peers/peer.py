"""What the CDF and the OCS on python-diameter share: their journal, what they are told to do, and their life.

The journal (--records) has one line for each request, as that library reads it. Fields are separated by tabs:
T=0, E2E=7, Session-Id=..., SIP-Method=PUBLISH, ...

What to do with a request is told in two ways. --behave FILE is read again at each request and may hold
{"result": 4002} for another Result-Code, or {"silent": true} for no answer; cdf.py and ocs.py say what else. And the
IMS-Charging-Identifier of the request may hold a script for this peer, as README.md describes.
"""
import argparse
import collections
import datetime
import json
import signal
import threading

from diameter.message import constants
from diameter.message.avp import Avp, AvpGrouped
from diameter.node import Node
from diameter.node.application import ThreadingApplication


def lines(avps):
    """Name and value of each AVP, groups opened; an AVP that the library does not know is `?code`."""
    for avp in avps:
        if isinstance(avp, AvpGrouped):
            yield from lines(avp.value)
        elif type(avp) is Avp:
            yield f"?{avp.code}"
        else:
            value = avp.value
            if isinstance(value, bytes):
                value = value.decode("utf-8", "replace")
            elif isinstance(value, datetime.datetime):
                value = int(value.timestamp())
            # The library sets 3GPP before names that another document has too.
            yield f"{avp.name.removeprefix('3GPP-')}={value}"


def remember_avps(command):
    """Requests of this kind keep their AVPs as they came. The library drops them for attributes of its own, and has lost
    by then what its attributes have not: SIP-Method, of which it has the wrong code."""
    read = command.__post_init__

    def remember(self):
        self.received = list(self._avps)
        read(self)

    command.__post_init__ = remember


def script(icid, label):
    """The words for the peer `label` in an icid such as `row!cdf1=4002,silent,2001!cdf2=2001`."""
    for part in icid.split("@")[0].split("!")[1:]:
        name, _, words = part.partition("=")
        if name == label:
            return words.split(",")
    return []


def behaviour(word):
    """`5031+ddfh=1+in` as {"result": 5031, "ddfh": 1, "in": 1}."""
    head, *options = word.split("+")
    told = {"silent": True} if head == "silent" else {"result": int(head)}
    for option in options:
        name, _, value = option.partition("=")
        told[name] = int(value or 1)
    return told


class Peer(ThreadingApplication):
    """An application that writes down what it gets. Its subclass says how `command` is answered."""

    command = None

    def __init__(self, args, application, **kind):
        super().__init__(application, **kind)
        remember_avps(self.command)
        self.args, self.lock = args, threading.Lock()
        self.label = args.host.split(".")[0]
        self.records = open(args.records, "a", buffering=1)
        self.seen = collections.Counter()

    def write(self, fields):
        with self.lock:
            self.records.write("\t".join(fields) + "\n")

    def told(self, fields):
        """What to do with this request: the file, and over it the script of its icid."""
        told = {}
        if self.args.behave:
            try:
                with open(self.args.behave) as file:
                    told = json.load(file)
            except (OSError, ValueError):
                pass  # not there, or being written
        avps = dict(field.partition("=")[::2] for field in fields)
        words = script(avps.get("IMS-Charging-Identifier") or avps.get("Subscription-Id-Data", ""), self.label)
        if words:
            with self.lock:
                turn = self.seen[avps["Session-Id"]]
                self.seen[avps["Session-Id"]] += 1
            told |= behaviour(words[min(turn, len(words) - 1)])
        return told

    def handle_request(self, message):
        if not isinstance(message, self.command):
            return self.generate_answer(message, result_code=constants.E_RESULT_CODE_DIAMETER_COMMAND_UNSUPPORTED)
        fields = list(lines(message.received))
        head = [f"T={int(message.header.is_retransmit)}", f"E2E={message.header.end_to_end_identifier}"]
        self.write(head + fields)
        told = self.told(fields)
        if told.get("silent"):
            return None
        result = told.get("result", 2001)
        answer = self.generate_answer(message, result_code=2001 if told.get("inside") or told.get("in") else result)
        # RFC 6733 §7.1.3: protocol errors, and only they, have the E flag.
        answer.header.is_error = 3000 <= answer.result_code < 4000
        self.fill(message, answer, result, told)
        return answer

    def fill(self, message, answer, result, told):
        raise NotImplementedError


def main(application, description, host):
    """Runs `application` until it is told to stop; then it says goodbye (DPR)."""
    p = argparse.ArgumentParser(description=description)
    p.add_argument("--port", type=int, required=True)
    p.add_argument("--host", default=host)
    p.add_argument("--realm", default="test")
    p.add_argument("--peer", required=True, help="Origin-Hosts that may connect, separated by commas")
    p.add_argument("--peer-realm", required=True)
    p.add_argument("--connect", type=int, help="port at which the first of them listens: it is connected to as well")
    p.add_argument("--records", required=True)
    p.add_argument("--behave", default="")
    args = p.parse_args()
    node = Node(args.host, args.realm, ip_addresses=["127.0.0.1"], tcp_port=args.port,
                vendor_ids=[constants.VENDOR_TGPP])
    node.vendor_id = 0  # its own default is nobody's
    first, *others = args.peer.split(",")
    if args.connect:
        # The wait before it tries again is 30 s by default.
        peers = [node.add_peer(f"aaa://{first}:{args.connect};transport=tcp", args.peer_realm,
                               ip_addresses=["127.0.0.1"], is_persistent=True)]
        peers[0].reconnect_wait = 2
    else:
        peers = [node.add_peer(f"aaa://{first}", args.peer_realm)]
    peers += [node.add_peer(f"aaa://{peer}", args.peer_realm) for peer in others]
    # Without its own realm among these it answers 3007 to everything.
    node.add_application(application(args), peers, realms=[args.realm, args.peer_realm])
    stop = threading.Event()
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, lambda *_: stop.set())
    node.start()
    print("listening", flush=True)
    stop.wait()
    node.stop(wait_timeout=2)
