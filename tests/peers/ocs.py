#!/usr/bin/env python3
"""An OCS on python-diameter: one line in --records for each credit-control request, as that library reads it.

Fields are separated by tabs: T=0, E2E=7, Session-Id=..., CC-Request-Type=4, ...

--behave FILE is read again at each request and may hold {"result": 4012} for another Result-Code, {"inside": true} to
say it within Multiple-Services-Credit-Control, {"silent": true} for no answer, {"rar": 0.2} to ask for a session again
that many seconds after its begin, {"final": true} for Final-Unit-Indication TERMINATE.
Needs python-diameter 0.9.0 (pip install python-diameter==0.9.0).
"""
import argparse
import json
import signal
import threading

from cdf import lines
from diameter.message import constants
from diameter.message.avp.grouped import (
    FinalUnitIndication,
    GrantedServiceUnit,
    MultipleServicesCreditControl,
)
from diameter.message.commands import CreditControlRequest, ReAuthRequest
from diameter.node import Node
from diameter.node.application import ThreadingApplication


class Ocs(ThreadingApplication):
    def __init__(self, args, host, realm):
        super().__init__(constants.APP_DIAMETER_CREDIT_CONTROL_APPLICATION, is_auth_application=True)
        self.behave, self.lock = args.behave, threading.Lock()
        self.host, self.own_realm = host.encode(), realm.encode()
        self.records = open(args.records, "a", buffering=1)

    def write(self, fields):
        with self.lock:
            self.records.write("\t".join(fields) + "\n")

    def behaviour(self):
        if self.behave:
            try:
                with open(self.behave) as file:
                    return json.load(file)
            except (OSError, ValueError):
                pass  # not there, or being written
        return {}

    def handle_request(self, message):
        if not isinstance(message, CreditControlRequest):
            return self.generate_answer(message, result_code=constants.E_RESULT_CODE_DIAMETER_COMMAND_UNSUPPORTED)
        head = [f"T={int(message.header.is_retransmit)}", f"E2E={message.header.end_to_end_identifier}"]
        self.write(head + list(lines(message.avps)))
        behaviour = self.behaviour()
        if behaviour.get("silent"):
            return None
        result = behaviour.get("result", 2001)
        inside = behaviour.get("inside", False)
        answer = self.generate_answer(message, result_code=2001 if inside else result)
        answer.auth_application_id = 4
        answer.cc_request_type = message.cc_request_type
        answer.cc_request_number = message.cc_request_number
        if inside or (result == 2001 and message.cc_request_type != 3):
            service = MultipleServicesCreditControl(result_code=result)
            if result == 2001:
                service.granted_service_unit = GrantedServiceUnit(cc_service_specific_units=1)
                if behaviour.get("final"):
                    service.final_unit_indication = FinalUnitIndication(final_unit_action=0)
            answer.multiple_services_credit_control = [service]
        if behaviour.get("rar") and message.cc_request_type == 1:
            threading.Timer(behaviour["rar"], self.ask_again, (message,)).start()
        return answer

    def ask_again(self, message):
        request = ReAuthRequest()
        request.session_id = message.session_id
        request.origin_host, request.origin_realm = self.host, self.own_realm
        request.destination_host, request.destination_realm = message.origin_host, message.origin_realm
        request.auth_application_id, request.re_auth_request_type = 4, 0
        answer = self.send_request(request, timeout=5)
        self.write(["RAA", f"Result-Code={answer.result_code}"])


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--port", type=int, required=True)
    p.add_argument("--host", default="ocs.test")
    p.add_argument("--realm", default="test")
    p.add_argument("--peer", required=True, help="Origin-Host of the client under test")
    p.add_argument("--peer-realm", required=True)
    p.add_argument("--records", required=True)
    p.add_argument("--behave", default="")
    args = p.parse_args()
    node = Node(args.host, args.realm, ip_addresses=["127.0.0.1"], tcp_port=args.port,
                vendor_ids=[constants.VENDOR_TGPP])
    peer = node.add_peer(f"aaa://{args.peer}", args.peer_realm)
    # Without its own realm among these it answers 3007 to everything.
    node.add_application(Ocs(args, args.host, args.realm), [peer], realms=[args.realm, args.peer_realm])
    stop = threading.Event()
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, lambda *_: stop.set())
    node.start()
    print("listening", flush=True)
    stop.wait()
    node.stop(wait_timeout=2)


if __name__ == "__main__":
    main()
