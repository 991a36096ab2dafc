#!/usr/bin/env python3
"""Stand-in for the application server, so that the lab can be proved apart from the product (`run --stub`).

Third-party REGISTER, PUBLISH and SUBSCRIBE/NOTIFY for presence, UDP and TCP on one port, everybody may watch
everybody, nothing is checked and nothing is kept.  Standard library only.
"""
import argparse
import asyncio
import itertools
import re
import signal

import sip

ids = itertools.count(1)


class Stub(asyncio.DatagramProtocol):
    def __init__(self, ip, port):
        self.ip, self.port, self.udp, self.streams = ip, port, None, {}
        self.bodies, self.registered, self.alias, self.dialogs, self.tags = {}, {}, {}, {}, {}

    # ---------------------------------------------------------------- transport
    def connection_made(self, transport):
        self.udp = transport

    def datagram_received(self, data, peer):
        self.receive(data.decode("utf-8", "replace"), lambda raw: self.udp.sendto(raw.encode(), peer), "UDP")

    async def stream(self, reader, writer):
        buffer = b""
        while chunk := await reader.read(65536):
            buffer += chunk
            while b"\r\n\r\n" in buffer:
                buffer = buffer.lstrip(b"\r\n")
                head, _, rest = buffer.partition(b"\r\n\r\n")
                found = re.search(rb"(?im)^(?:content-length|l)\s*:\s*(\d+)", head)
                size = int(found.group(1)) if found else 0
                if len(rest) < size:
                    break
                buffer = rest[size:]
                self.receive((head + b"\r\n\r\n" + rest[:size]).decode("utf-8", "replace"),
                             lambda raw: writer.write(raw.encode()), "TCP")
        writer.close()

    async def out_tcp(self, raw, peer):
        if peer not in self.streams or self.streams[peer].is_closing():
            reader, self.streams[peer] = await asyncio.open_connection(*peer)
            asyncio.ensure_future(self.stream(reader, self.streams[peer]))
        self.streams[peer].write(raw.encode())

    # ---------------------------------------------------------------- behaviour
    def receive(self, raw, reply, how):
        if not raw.strip():
            return
        message = sip.Message(raw)
        if message.status is not None:
            return
        user = sip.uri_of(message.get("to")).split(";")[0]
        expires = int(message.get("expires") or 3600)
        if message.method == "REGISTER":
            self.registered[user] = expires > 0
            for other in re.findall(r"(?:sip|tel):[^>,;\s]+", message.get("p-associated-uri")):
                self.alias[other] = user
            reply(sip.response(message, 200, "OK", [("Expires", expires)], "as"))
            self.changed(user)
        elif message.method == "PUBLISH":
            user = self.alias.get(message.uri, message.uri)
            if message.body:
                self.bodies[user] = message.body
            reply(sip.response(message, 200, "OK", [("SIP-ETag", f"e{next(ids)}"), ("Expires", expires)], "as"))
            self.changed(user)
        elif message.method == "SUBSCRIBE":
            self.subscribe(message, reply, how, user, expires)
        else:
            reply(sip.response(message, 200, "OK", (), "as"))

    def subscribe(self, message, reply, how, user, expires):
        key = message.get("call-id")
        if key not in self.dialogs:
            self.dialogs[key] = {"remote": sip.uri_of(message.get("contact")), "peer": message.get("from"), "cseq": 0,
                                 "own": f"{message.get('to')};tag=as{next(ids)}", "how": how, "as": user,
                                 "routes": message.every("record-route"), "call": key}
        dialog = self.dialogs[key]
        reply(sip.response(message, 200, "OK", [("Contact", self.contact(how)), ("Expires", expires)],
                           sip.tag_of(dialog["own"])))
        self.notify(dialog, f"active;expires={expires}" if expires else "terminated;reason=timeout")
        if not expires:
            del self.dialogs[key]

    def changed(self, user):
        for dialog in self.dialogs.values():
            if self.alias.get(dialog["as"], dialog["as"]) == user:
                self.notify(dialog, "active;expires=600")

    def contact(self, how):
        return f"<sip:as@{self.ip}:{self.port}{';transport=tcp' if how == 'TCP' else ''}>"

    def notify(self, dialog, state):
        dialog["cseq"] += 1
        user = self.alias.get(dialog["as"], dialog["as"])
        body = self.bodies.get(user, f'<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="{user}"></presence>')
        if user in self.registered:
            word = "active" if self.registered[user] else "terminated"
            body = body.replace("</presence>", '<tuple id="ims"><status/><o:registration-state '
                                f'xmlns:o="urn:oma:xml:prs:pidf:oma-pres">{word}</o:registration-state></tuple></presence>')
        body = re.sub(r'entity="[^"]*"', f'entity="{dialog["as"]}"', body, count=1)
        raw = sip.request(f"NOTIFY {dialog['remote']} SIP/2.0", [
            ("Via", f"SIP/2.0/{dialog['how']} {self.ip}:{self.port};branch=z9hG4bKas{next(ids)};rport"),
            *[("Route", r) for r in dialog["routes"]], ("Max-Forwards", "70"), ("From", dialog["own"]),
            ("To", dialog["peer"]), ("Call-ID", dialog["call"]), ("CSeq", f"{dialog['cseq']} NOTIFY"),
            ("Contact", self.contact(dialog["how"])), ("Event", "presence"), ("Subscription-State", state),
            ("Content-Type", "application/pidf+xml")], body)
        hop = sip.host_port(sip.uri_of(dialog["routes"][0]) if dialog["routes"] else dialog["remote"])
        if dialog["how"] == "TCP":
            asyncio.ensure_future(self.out_tcp(raw, hop))
        else:
            self.udp.sendto(raw.encode(), hop)


async def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--listen", required=True)
    ip, port = p.parse_args().listen.rsplit(":", 1)
    stub, loop, stop = Stub(ip, int(port)), asyncio.get_running_loop(), asyncio.Event()
    await loop.create_datagram_endpoint(lambda: stub, local_addr=(ip, int(port)))
    await asyncio.start_server(stub.stream, ip, int(port))
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, stop.set)
    print("listening", flush=True)
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
