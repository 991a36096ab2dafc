#!/usr/bin/env python3
"""Cx HSS of the lab: enough of TS 29.228 for Kamailio's ims_auth and ims_registrar_scscf.

Answers CER, DWR, DPR, UAR, MAR, SAR and LIR.  MAR hands out "SIP Digest" (HA1), SAR the user profile, made of
subscribers.json and the filter criteria in ifc/.  Each request becomes one JSON line in --log.  Standard library only.
"""
import argparse
import asyncio
import hashlib
import json
import pathlib
import signal
import sys
from xml.sax.saxutils import escape

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from diameter import (CER, COMMAND_UNSUPPORTED, DPR, DWR, SUCCESS, TGPP, avp, number, origin, serve, text)  # noqa: E402

CX = 16777216
UAR, SAR, LIR, MAR = 300, 301, 302, 303
NAMES = {CER: "CER", DWR: "DWR", DPR: "DPR", UAR: "UAR", SAR: "SAR", LIR: "LIR", MAR: "MAR"}

# Server-Assignment-Type (TS 29.229 6.3.15)
ASSIGN = {1: "REGISTRATION", 2: "RE_REGISTRATION", 3: "UNREGISTERED_USER"}
RELEASE = {4: "TIMEOUT_DEREGISTRATION", 5: "USER_DEREGISTRATION", 8: "ADMINISTRATIVE_DEREGISTRATION",
           11: "DEREGISTRATION_TOO_MUCH_DATA"}

# Experimental-Result-Code (TS 29.229 6.2)
FIRST_REGISTRATION, SUBSEQUENT_REGISTRATION, UNREGISTERED_SERVICE = 2001, 2002, 2003
USER_UNKNOWN, IDENTITIES_DONT_MATCH, IDENTITY_NOT_REGISTERED = 5001, 5002, 5003


class Hss:
    def __init__(self, args):
        self.host, self.realm, self.as_uri = args.origin_host, args.realm, args.as_uri
        self.xdms_uri = args.xdms_uri or args.as_uri
        self.address = args.listen.rsplit(":", 1)[0]
        self.folder = pathlib.Path(args.subscribers).parent
        self.users = json.loads(pathlib.Path(args.subscribers).read_text())["subscribers"]
        self.owner = {impu: impi for impi, user in self.users.items() for impu in user["impus"]}
        self.ccf = args.ccf
        self.assigned = {}  # public identity -> S-CSCF
        self.log = open(args.log, "a", buffering=1)

    def answer(self, command, _flags, req):
        if command in (CER, DWR, DPR):
            out = [avp(268, SUCCESS)] + origin(self.host, self.realm)
            if command == CER:
                packed = bytes(int(x) for x in self.address.split("."))
                out += [avp(257, b"\0\x01" + packed), avp(266, TGPP), avp(269, "lab-hss", mandatory=False),
                        avp(265, TGPP), self.application()]
            return out
        impi, impu = text(req, 1), (text(req, 601, TGPP) or "").split(";")[0]
        note = {"cmd": NAMES.get(command, command), "impi": impi, "impu": impu}
        out = [avp(263, text(req, 263) or ""), self.application(), avp(277, 1)] + origin(self.host, self.realm)
        handler = {UAR: self.uar, SAR: self.sar, LIR: self.lir, MAR: self.mar}.get(command)
        if handler is None:
            result, experimental, extra = COMMAND_UNSUPPORTED, None, []
        else:
            result, experimental, extra = self.find(impi, impu) or handler(self.owner[impu], impu, req, note)
        out.append(avp(268, result) if result else avp(297, [avp(266, TGPP), avp(298, experimental)]))
        note["result"] = result or experimental
        self.log.write(json.dumps(note) + "\n")
        return out + extra

    @staticmethod
    def application():
        return avp(260, [avp(266, TGPP), avp(258, CX)])

    def find(self, impi, impu):
        """The refusal for identities that are unknown or do not belong together; None when all is well."""
        if (impi and impi not in self.users) or impu not in self.owner:
            return None, USER_UNKNOWN, []
        if impi and self.owner[impu] != impi:
            return None, IDENTITIES_DONT_MATCH, []
        return None

    def uar(self, _impi, impu, _req, _note):
        if impu in self.assigned:
            return None, SUBSEQUENT_REGISTRATION, [avp(602, self.assigned[impu], TGPP)]
        return None, FIRST_REGISTRATION, [avp(603, [], TGPP)]

    def lir(self, impi, impu, _req, _note):
        if impu in self.assigned:
            return SUCCESS, None, [avp(602, self.assigned[impu], TGPP)]
        if self.users[impi].get("unregistered_services"):
            return None, UNREGISTERED_SERVICE, [avp(603, [], TGPP)]
        return None, IDENTITY_NOT_REGISTERED, []

    def mar(self, impi, impu, req, _note):
        realm = text(req, 283) or self.realm
        ha1 = hashlib.md5(f"{impi}:{realm}:{self.users[impi]['password']}".encode()).hexdigest()
        item = avp(612, [avp(613, 1, TGPP), avp(608, "SIP Digest", TGPP),
                         avp(635, [avp(104, realm), avp(111, "MD5"), avp(110, "auth"), avp(121, ha1)], TGPP)], TGPP)
        # Kamailio answers 403 unless User-Name and Public-Identity come back
        return SUCCESS, None, [avp(1, impi), avp(601, impu, TGPP), avp(607, 1, TGPP), item]

    def sar(self, impi, _impu, req, note):
        kind, have_data = number(req, 614, TGPP), number(req, 624, TGPP) == 1
        note["type"] = ASSIGN.get(kind) or RELEASE.get(kind) or kind
        for impu in self.users[impi]["impus"]:  # the implicit registration set
            if kind in ASSIGN:
                self.assigned[impu] = text(req, 602, TGPP)
            elif kind in RELEASE:
                self.assigned.pop(impu, None)
        extra = [avp(1, impi)]
        if kind in (0, *ASSIGN) and not have_data:
            extra.append(avp(606, self.profile(impi), TGPP))
            if self.ccf:
                extra.append(avp(618, [avp(621, self.ccf, TGPP)], TGPP))
        return SUCCESS, None, extra

    def profile(self, impi):
        """The user profile of TS 29.228 annex E."""
        user = self.users[impi]
        out = ['<?xml version="1.0" encoding="UTF-8"?>', "<IMSSubscription>",
               f"<PrivateID>{escape(impi)}</PrivateID>", "<ServiceProfile>"]
        out += [f"<PublicIdentity><Identity>{escape(impu)}</Identity></PublicIdentity>" for impu in user["impus"]]
        for name in user.get("ifc", ()):
            criteria = (self.folder / "ifc" / f"{name}.xml").read_text()
            criteria = criteria.replace("@XDMS_URI@", escape(self.xdms_uri))
            out.append(criteria.replace("@AS_URI@", escape(self.as_uri)))
        return "\n".join(out + ["</ServiceProfile>", "</IMSSubscription>"])


async def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--listen", required=True)
    p.add_argument("--origin-host", default="127.0.0.1", help="Diameter identity; cdp resolves it, hence an address")
    p.add_argument("--realm", default="ims.test")
    p.add_argument("--as-uri", required=True, help="ServerName of the initial filter criteria")
    p.add_argument("--xdms-uri", default="", help="the same for the XDMS beside it")
    p.add_argument("--subscribers", default=str(pathlib.Path(__file__).with_name("subscribers.json")))
    p.add_argument("--ccf", help="Primary-Charging-Collection-Function-Name handed out with the profile")
    p.add_argument("--log", required=True)
    args = p.parse_args()
    stop = asyncio.Event()
    for sig in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sig, stop.set)
    server = await serve(args.listen, Hss(args).answer)
    print("listening", flush=True)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
