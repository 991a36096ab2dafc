"""A UE (and the P-CSCF's part of its messages) over UDP, for what SIPp is too weak: several dialogs at once,
NOTIFY racing with responses, judgement on XML.  Standard library only."""
import hashlib
import itertools
import re
import socket
import time
import xml.etree.ElementTree as ET

import sip

PIDF = "{urn:ietf:params:xml:ns:pidf}"
OMA = "{urn:oma:xml:prs:pidf:oma-pres}"
serial = itertools.count(1)


class Failed(Exception):
    """What was promised did not happen; the text says what."""


class Ue:
    """One subscriber's terminal.  Everything it sends goes to the S-CSCF."""

    def __init__(self, user, home, scscf, ip):
        self.user, self.home, self.scscf = user, home, sip.host_port(f"sip:{scscf}")
        self.aor = f"sip:{user}@{home}"
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ip, 0))
        self.ip, self.port = self.socket.getsockname()
        self.contact = f"<sip:{user}@{self.ip}:{self.port}>"
        self.responses, self.inbox, self.trace = {}, [], []

    def close(self):
        self.socket.close()

    # ---------------------------------------------------------------- messages
    def pump(self, wait):
        """Takes in one message, if one comes within `wait` seconds; a NOTIFY is answered at once."""
        self.socket.settimeout(max(wait, 0.001))
        try:
            raw, peer = self.socket.recvfrom(65535)
        except TimeoutError:
            return
        message = sip.Message(raw.decode("utf-8", "replace"))
        self.trace.append(f"<- {message.first}")
        if message.status is not None:
            if message.status >= 200:
                self.responses[re.search(r"branch=([^;,\s]+)", message.get("via")).group(1)] = message
            return
        self.socket.sendto(sip.response(message, 200, "OK").encode(), peer)
        if message.method == "NOTIFY":
            seen = [(m.get("call-id"), m.cseq()) for m in self.inbox]
            if (message.get("call-id"), message.cseq()) not in seen:  # else a retransmission
                message.taken = False
                self.inbox.append(message)

    def send(self, method, uri, to, call_id, tag, cseq, headers=(), body="", limit=10):
        """Sends a request, again every 500 ms, until its final response comes."""
        branch = f"z9hG4bKue{self.port}n{next(serial)}"
        raw = sip.request(f"{method} {uri} SIP/2.0", [
            ("Via", f"SIP/2.0/UDP {self.ip}:{self.port};branch={branch};rport"), ("Max-Forwards", "70"),
            ("From", f"<{self.aor}>;tag={tag}"), ("To", to), ("Call-ID", call_id), ("CSeq", f"{cseq} {method}"),
            ("Contact", self.contact), *headers], body).encode()
        self.trace.append(f"-> {method} {uri}")
        end, again = time.monotonic() + limit, 0
        while branch not in self.responses:
            if time.monotonic() > end:
                raise Failed(f"{self.user}: no answer to {method} {uri} within {limit} s")
            if time.monotonic() >= again:
                self.socket.sendto(raw, self.scscf)
                again = time.monotonic() + 0.5
            self.pump(0.05)
        return self.responses.pop(branch)

    def originating(self):
        """What the P-CSCF adds to an initial request of a registered user (TS 24.229 5.2.6.3)."""
        return [("Route", f"<sip:orig@{self.scscf[0]}:{self.scscf[1]};lr>"),
                ("P-Asserted-Identity", f"<{self.aor}>"),
                ("P-Charging-Vector", f'icid-value="ue-{self.port}-{next(serial)}";icid-generated-at={self.ip}')]

    # ---------------------------------------------------------------- procedures
    def register(self, expires, password=None):
        """REGISTER with Digest (RFC 3261 22.4, qop=auth)."""
        uri, realm, call_id = f"sip:{self.home}", self.home, f"reg-{self.port}-{next(serial)}"
        impi, password = f"{self.user}@{self.home}", password or f"{self.user}-secret"
        extra = [("Expires", str(expires)), ("Supported", "path"),
                 ("P-Visited-Network-ID", f'"{self.home}"'),
                 ("P-Charging-Vector", f'icid-value="reg-{self.port}-{next(serial)}";icid-generated-at={self.ip}')]
        empty = f'Digest username="{impi}",realm="{realm}",nonce="",uri="{uri}",response=""'
        answer = self.send("REGISTER", uri, f"<{self.aor}>", call_id, "r", 1, extra + [("Authorization", empty)])
        if answer.status == 401:
            challenge = answer.get("www-authenticate")
            nonce = re.search(r'nonce="([^"]*)"', challenge).group(1)
            md5 = lambda text: hashlib.md5(text.encode()).hexdigest()  # noqa: E731
            proof = md5(f"{md5(f'{impi}:{realm}:{password}')}:{nonce}:00000001:lab:auth:{md5(f'REGISTER:{uri}')}")
            credentials = (f'Digest username="{impi}",realm="{realm}",nonce="{nonce}",uri="{uri}",'
                           f'qop=auth,nc=00000001,cnonce="lab",response="{proof}",algorithm=MD5')
            answer = self.send("REGISTER", uri, f"<{self.aor}>", call_id, "r", 2,
                               extra + [("Authorization", credentials)])
        return answer

    def publish(self, body, etag=None, expires=600, to=None):
        to = to or self.aor
        extra = [("Event", "presence"), ("Expires", str(expires))]
        extra += [("SIP-If-Match", etag)] if etag else []
        extra += [("Content-Type", "application/pidf+xml")] if body else []
        number = next(serial)
        return self.send("PUBLISH", to, f"<{to}>", f"pub-{self.port}-{number}", f"p{number}", 1,
                         self.originating() + extra, body)

    def subscribe(self, target, expires=600, headers=(), event="presence", accept="application/pidf+xml", body=""):
        return Subscription(self, target, expires, headers, event, accept, body)


class Subscription:
    """A dialog this UE opened by SUBSCRIBE."""

    def __init__(self, ue, target, expires, headers, event, accept, body):
        self.ue, self.target, self.headers = ue, target, list(headers)
        self.event, self.accept, self.body = event, accept, body
        self.call_id, self.tag, self.cseq = f"sub-{ue.port}-{next(serial)}", f"s{next(serial)}", 1
        self.answer = self.ask(target, f"<{target}>", ue.originating(), expires)
        self.routes = list(reversed(self.answer.every("record-route")))  # RFC 3261 12.1.2

    def ask(self, uri, to, routes, expires):
        return self.ue.send("SUBSCRIBE", uri, to, self.call_id, self.tag, self.cseq, routes + [
            ("Event", self.event), ("Accept", self.accept), ("Expires", str(expires))] + self.headers, self.body)

    def refresh(self, expires):
        self.cseq += 1
        return self.ask(sip.uri_of(self.answer.get("contact")), self.answer.get("to"),
                        [("Route", r) for r in self.routes], expires)

    def notify(self, limit=10):
        """The next NOTIFY of this dialog that nobody has looked at yet."""
        end = time.monotonic() + limit
        while True:
            waiting = [m for m in self.ue.inbox if m.get("call-id") == self.call_id and not m.taken]
            if waiting:
                first = min(waiting, key=sip.Message.cseq)
                first.taken = True
                return first
            if time.monotonic() > end:
                raise Failed(f"{self.ue.user}: no NOTIFY about {self.target} within {limit} s")
            self.ue.pump(0.05)

    def until(self, what, judge, limit=10):
        """NOTIFYs are taken until one is as `judge` wants it; states in between may be skipped or sent."""
        end, last = time.monotonic() + limit, None
        while time.monotonic() < end:
            try:
                last = self.notify(end - time.monotonic())
            except Failed:
                break
            if judge(last):
                return last
        state = last and f"{last.get('subscription-state')}\n{last.body}"
        raise Failed(f"{self.ue.user} watching {self.target}: never saw {what}; last NOTIFY: {state}")


# -------------------------------------------------------------------- judgement on a presence document
def document(message):
    if not message.get("content-type").lower().startswith("application/pidf+xml"):
        raise Failed(f"NOTIFY carries {message.get('content-type') or 'no body'} instead of PIDF")
    return ET.fromstring(message.body.encode())


def basics(message):
    return {t.get("id"): t.findtext(f"{PIDF}status/{PIDF}basic") for t in document(message).iter(f"{PIDF}tuple")}


def notes(message):
    return [n.text for n in document(message).iter() if n.tag.endswith("}note")]


def registration_states(message):
    return [e.text for e in document(message).iter(f"{OMA}registration-state")]


def pidf(entity, basic, note):
    return (f'<?xml version="1.0" encoding="UTF-8"?>\r\n<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="{entity}">'
            f'<tuple id="phone"><status><basic>{basic}</basic></status><note>{note}</note></tuple></presence>\r\n')
