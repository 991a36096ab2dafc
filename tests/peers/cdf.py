#!/usr/bin/env python3
"""A CDF on python-diameter: one line in --records for each accounting request, as that library reads it.

Fields are separated by tabs: T=0, E2E=7, Session-Id=..., SIP-Method=PUBLISH, ...

--behave FILE is read again at each request and may hold {"result": 4002} for another Result-Code, or
{"silent": true} for no answer.
Needs python-diameter 0.9.0 (pip install python-diameter==0.9.0).
"""
import argparse
import datetime
import json
import signal
import threading

from diameter.message import constants
from diameter.message.avp import Avp, AvpGrouped
from diameter.message.commands import AccountingRequest
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


class Cdf(ThreadingApplication):
    def __init__(self, args):
        super().__init__(constants.APP_DIAMETER_BASE_ACCOUNTING, is_acct_application=True)
        self.behave, self.lock = args.behave, threading.Lock()
        self.records = open(args.records, "a", buffering=1)

    def handle_request(self, message):
        if not isinstance(message, AccountingRequest):
            return self.generate_answer(message, result_code=constants.E_RESULT_CODE_DIAMETER_COMMAND_UNSUPPORTED)
        head = [f"T={int(message.header.is_retransmit)}", f"E2E={message.header.end_to_end_identifier}"]
        with self.lock:
            self.records.write("\t".join(head + list(lines(message.avps))) + "\n")
        behaviour = {}
        if self.behave:
            try:
                with open(self.behave) as file:
                    behaviour = json.load(file)
            except (OSError, ValueError):
                pass  # not there, or being written
        if behaviour.get("silent"):
            return None
        answer = self.generate_answer(message, result_code=behaviour.get("result", 2001))
        answer.accounting_record_type = message.accounting_record_type
        answer.accounting_record_number = message.accounting_record_number
        answer.acct_application_id = 3
        return answer


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--port", type=int, required=True)
    p.add_argument("--host", default="cdf.test")
    p.add_argument("--realm", default="test")
    p.add_argument("--peer", required=True, help="Origin-Host of the server under test")
    p.add_argument("--peer-realm", required=True)
    p.add_argument("--records", required=True)
    p.add_argument("--behave", default="")
    args = p.parse_args()
    node = Node(args.host, args.realm, ip_addresses=["127.0.0.1"], tcp_port=args.port,
                vendor_ids=[constants.VENDOR_TGPP])
    peer = node.add_peer(f"aaa://{args.peer}", args.peer_realm)
    # Without its own realm among these it answers 3007 to everything.
    node.add_application(Cdf(args), [peer], realms=[args.realm, args.peer_realm])
    stop = threading.Event()
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, lambda *_: stop.set())
    node.start()
    print("listening", flush=True)
    stop.wait()
    node.stop(wait_timeout=2)


if __name__ == "__main__":
    main()
