#!/usr/bin/env python3
"""A CDF on python-diameter: one line in --records for each accounting request. peer.py says what it can be told.

Needs python-diameter 0.9.0 (pip install python-diameter==0.9.0).
"""
from diameter.message import constants
from diameter.message.commands import AccountingRequest
from peer import Peer, main


class Cdf(Peer):
    command = AccountingRequest

    def __init__(self, args):
        super().__init__(args, constants.APP_DIAMETER_BASE_ACCOUNTING, is_acct_application=True)

    def fill(self, message, answer, result, told):
        answer.accounting_record_type = message.accounting_record_type
        answer.accounting_record_number = message.accounting_record_number
        answer.acct_application_id = 3


if __name__ == "__main__":
    main(Cdf, __doc__.splitlines()[0], "cdf.test")
