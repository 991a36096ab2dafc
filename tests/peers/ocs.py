#!/usr/bin/env python3
"""An OCS on python-diameter: one line in --records for each credit-control request. peer.py says what it can be told.

Beside that: {"inside": true} says the result within Multiple-Services-Credit-Control, {"rar": 0.2} asks for a session
again that many seconds after its begin, {"final": true} is Final-Unit-Indication TERMINATE. In scripts: `in`, `rar`,
`asr`, `fui` and `short` (Check-Balance-Result NO_CREDIT), and with values `ccfh`, `ddfh`, `fo` (CC-Session-Failover),
`vt` (Validity-Time), `units` and `price` (hundredths of currency 978).
Needs python-diameter 0.9.0 (pip install python-diameter==0.9.0).
"""
import threading

from diameter.message import Avp, constants
from diameter.message.avp.grouped import (
    CostInformation,
    FinalUnitIndication,
    GrantedServiceUnit,
    MultipleServicesCreditControl,
    UnitValue,
)
from diameter.message.commands import AbortSessionRequest, CreditControlRequest, ReAuthRequest
from peer import Peer, main


CHECK_BALANCE, PRICE_ENQUIRY = 2, 3  # Requested-Action


class Ocs(Peer):
    command = CreditControlRequest

    def __init__(self, args):
        super().__init__(args, constants.APP_DIAMETER_CREDIT_CONTROL_APPLICATION, is_auth_application=True)

    def fill(self, message, answer, result, told):
        answer.auth_application_id = 4
        answer.cc_request_type = message.cc_request_type
        answer.cc_request_number = message.cc_request_number
        inside = told.get("inside") or told.get("in")
        if message.requested_action in (CHECK_BALANCE, PRICE_ENQUIRY):
            self.tell(message, answer, result, told)
        elif inside or (result == 2001 and message.cc_request_type != 3):
            self.grant(message, answer, result, told)
        if "ccfh" in told:
            answer.credit_control_failure_handling = told["ccfh"]
        if "ddfh" in told:
            # The library forgets this one of its attributes.
            answer.append_avp(Avp.new(constants.AVP_DIRECT_DEBITING_FAILURE_HANDLING, value=told["ddfh"]))
        if "fo" in told:
            answer.cc_session_failover = told["fo"]
        for word, command in (("rar", ReAuthRequest), ("asr", AbortSessionRequest)):
            if told.get(word) and message.cc_request_type == 1:
                after = told[word]
                threading.Timer(min(after, 0.2), self.ask, (message, command())).start()

    def tell(self, message, answer, result, told):
        """The price, or whether the account covers it."""
        if result == 2001 and message.requested_action == CHECK_BALANCE:
            answer.check_balance_result = told.get("short", 0)
        if result == 2001 and message.requested_action == PRICE_ENQUIRY:
            value = UnitValue(value_digits=told.get("price", 15), exponent=-2)
            answer.cost_information = CostInformation(unit_value=value, currency_code=978)

    def grant(self, message, answer, result, told):
        granted = GrantedServiceUnit(cc_service_specific_units=told.get("units", 1)) if result == 2001 else None
        if not message.multiple_services_credit_control and not told.get("inside"):
            answer.granted_service_unit = granted
            return
        service = MultipleServicesCreditControl(result_code=result)
        if granted:
            service.granted_service_unit = granted
            if told.get("final") or told.get("fui"):
                service.final_unit_indication = FinalUnitIndication(final_unit_action=0)
            if "vt" in told:
                service.validity_time = told["vt"]
        answer.multiple_services_credit_control = [service]

    def ask(self, message, request):
        """RAR or ASR for the session of this request."""
        request.session_id = message.session_id
        request.origin_host, request.origin_realm = self.args.host.encode(), self.args.realm.encode()
        request.destination_host, request.destination_realm = message.origin_host, message.origin_realm
        request.auth_application_id = 4
        if isinstance(request, ReAuthRequest):
            request.re_auth_request_type = 0
        answer = self.send_request(request, timeout=5)
        name = "RAA" if isinstance(request, ReAuthRequest) else "ASA"
        self.write([name, f"Result-Code={answer.result_code}", f"Session-Id={message.session_id}"])


if __name__ == "__main__":
    main(Ocs, __doc__.splitlines()[0], "ocs.test")
