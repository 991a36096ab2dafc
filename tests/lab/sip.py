"""SIP messages for the lab's UE and stub AS: naive parsing and building.  Standard library only."""
import re

COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length",
           "o": "event", "k": "supported", "c": "content-type", "u": "allow-events"}


class Message:
    def __init__(self, raw):
        head, _, self.body = raw.partition("\r\n\r\n")
        lines = re.sub(r"\r\n[ \t]+", " ", head).split("\r\n")
        self.first, self.headers = lines[0], []
        for line in lines[1:]:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            self.headers.append((COMPACT.get(name, name), value.strip()))
        words = self.first.split(" ", 2)
        self.status = int(words[1]) if words[0] == "SIP/2.0" else None
        self.method = words[0] if self.status is None else self.get("cseq").split()[-1]
        self.uri = words[1] if self.status is None else None

    def get(self, name):
        return next((v for n, v in self.headers if n == name), "")

    def every(self, name):
        """All values of a comma separated header (a comma inside <> does not count)."""
        return [x.strip() for n, v in self.headers if n == name for x in re.split(r",(?![^<]*>)", v)]

    def cseq(self):
        return int(self.get("cseq").split()[0])


def uri_of(value):
    found = re.search(r"<([^>]+)>", value)
    return found.group(1) if found else value.split(";")[0].strip()


def tag_of(value):
    found = re.search(r";tag=([^;\s]+)", value.split(">")[-1])
    return found.group(1) if found else None


def host_port(uri):
    found = re.match(r"sips?:(?:[^@]*@)?([^;:>]+)(?::(\d+))?", uri)
    return found.group(1), int(found.group(2) or 5060)


def request(first, headers, body=""):
    lines = [first] + [f"{n}: {v}" for n, v in headers] + [f"Content-Length: {len(body.encode())}", "", body]
    return "\r\n".join(lines)


def response(req, status, reason, extra=(), tag=None):
    lines = [f"SIP/2.0 {status} {reason}"]
    for name, value in req.headers:
        if name in ("via", "record-route", "from", "call-id", "cseq"):
            lines.append(f"{name.title()}: {value}")
        elif name == "to":
            lines.append(f"To: {value}" + ("" if tag_of(value) or not tag else f";tag={tag}"))
    return "\r\n".join(lines + [f"{n}: {v}" for n, v in extra] + ["Content-Length: 0", "", ""])
