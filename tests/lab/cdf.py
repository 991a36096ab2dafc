#!/usr/bin/env python3
"""CDF of the lab: answers each ACR (Rf, RFC 6733 base accounting) with success and writes down what it says.

One JSON line a record in --log: SIP method, event package, identities, IMS charging identifier.
Standard library only; the independent Diameter implementations are tested elsewhere (tests/e2e/diameter_peers.rs).
"""
import argparse
import asyncio
import json
import signal

from diameter import ACR, CER, SUCCESS, TGPP, avp, group, number, origin, serve, text


class Cdf:
    def __init__(self, args):
        self.host, self.realm = args.origin_host, args.realm
        self.address = args.listen.rsplit(":", 1)[0]
        self.log = open(args.log, "a", buffering=1)

    def answer(self, command, flags, req):
        out = [avp(268, SUCCESS)] + origin(self.host, self.realm)
        if command == CER:
            packed = bytes(int(x) for x in self.address.split("."))
            out += [avp(257, b"\0\x01" + packed), avp(266, TGPP), avp(269, "lab-cdf", mandatory=False), avp(259, 3)]
        elif command == ACR:
            ims = group(group(req, 873, TGPP), 876, TGPP)  # Service-Information, IMS-Information
            event = group(ims, 823, TGPP)
            self.log.write(json.dumps({
                "session": text(req, 263), "type": number(req, 480), "again": bool(flags & 0x10),
                "method": text(event, 824, TGPP), "event": text(event, 825, TGPP),
                "calling": [v.decode() for v in ims.get((TGPP, 831), [])],
                "called": text(ims, 832, TGPP), "icid": text(ims, 841, TGPP)}) + "\n")
            out = [avp(263, text(req, 263) or "")] + out + [
                avp(480, number(req, 480) or 1), avp(485, number(req, 485) or 0), avp(259, 3)]
        return out


async def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--listen", required=True)
    p.add_argument("--origin-host", default="cdf.ims.test")
    p.add_argument("--realm", default="ims.test")
    p.add_argument("--log", required=True)
    args = p.parse_args()
    stop = asyncio.Event()
    for sig in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sig, stop.set)
    server = await serve(args.listen, Cdf(args).answer)
    print("listening", flush=True)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
