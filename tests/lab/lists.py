"""A client's whole start (E2E-01) and lists of presentities (RFC 4662) through the S-CSCF.  Standard library only."""
import hashlib
import os
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET

from ue import Failed, Ue, pidf

HOME = "ims.test"
ALICE, BOB, CAROL = (f"sip:{user}@{HOME}" for user in ("alice", "bob", "carol"))
LIST = f"{CAROL};pres-list=rcs"
RLMI = "{urn:ietf:params:xml:ns:rlmi}"
ACCEPT = "application/pidf+xml, application/rlmi+xml, multipart/related"

LISTS = """<?xml version="1.0" encoding="UTF-8"?>
<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"><list name="rcs">{entries}</list></resource-lists>
"""
SERVICES = """<?xml version="1.0" encoding="UTF-8"?>
<rls-services xmlns="urn:ietf:params:xml:ns:rls-services"><service uri="{uri}">
  <resource-list>{root}/resource-lists/users/{owner}/index/~~/resource-lists/list%5b@name=%22rcs%22%5d</resource-list>
  <packages><package>presence</package></packages>
</service></rls-services>
"""
RULES = """<?xml version="1.0" encoding="UTF-8"?>
<ruleset xmlns="urn:ietf:params:xml:ns:common-policy" xmlns:pr="urn:ietf:params:xml:ns:pres-rules">
  <rule id="all"><conditions><identity><many/></identity></conditions>
    <actions><pr:sub-handling>confirm</pr:sub-handling></actions>
    <transformations><pr:provide-services><pr:all-services/></pr:provide-services><pr:provide-all-attributes/></transformations></rule>
</ruleset>
"""
HANDLING = ("~~/cp:ruleset/cp:rule%5b@id=%22all%22%5d/cp:actions/pr:sub-handling"
            "?xmlns(cp=urn:ietf:params:xml:ns:common-policy)xmlns(pr=urn:ietf:params:xml:ns:pres-rules)")
ALLOW = '<pr:sub-handling xmlns:pr="urn:ietf:params:xml:ns:pres-rules">allow</pr:sub-handling>'


class Xdmc:
    """What a client does over HTTP: Digest with the password of SIP, and the identity that it means (TS 24.109)."""

    def __init__(self, lab, user):
        self.root, self.identity = f"http://127.0.0.1:{lab.ports['http']}/xcap-root", f"sip:{user}@{HOME}"
        self.user, self.password = f"{user}@{HOME}", f"{user}-secret"

    def ask(self, method, path, body=None, kind=None):
        status, answer, challenge = self.once(method, path, body, kind, {})
        if status == 401:
            proof = self.proof(method, f"/xcap-root/{path}", challenge)
            status, answer, _ = self.once(method, path, body, kind, {"Authorization": proof})
        return status, answer

    def once(self, method, path, body, kind, headers):
        request = urllib.request.Request(f"{self.root}/{path}", method=method, data=body.encode() if body else None,
                                         headers={"X-3GPP-Intended-Identity": f'"{self.identity}"', **headers})
        if kind:
            request.add_header("Content-Type", kind)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode(), None
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode("utf-8", "replace"), refusal.headers["WWW-Authenticate"]

    def proof(self, method, uri, challenge):
        """RFC 7616, qop=auth."""
        said = dict(re.findall(r'(\w+)="?([^",]+)"?', challenge))
        name = said.get("algorithm", "MD5")
        of = lambda text: getattr(hashlib, name.replace("-", "").lower())(text.encode()).hexdigest()  # noqa: E731
        secret, what = of(f"{self.user}:{said['realm']}:{self.password}"), of(f"{method}:{uri}")
        response = of(f"{secret}:{said['nonce']}:00000001:lab:auth:{what}")
        opaque = f',opaque="{said["opaque"]}"' if "opaque" in said else ""
        return (f'Digest username="{self.user}",realm="{said["realm"]}",nonce="{said["nonce"]}",uri="{uri}",qop=auth,'
                f'nc=00000001,cnonce="lab",algorithm={name},response="{response}"{opaque}')

    def put(self, usage, body, kind=None):
        status, answer = self.ask("PUT", f"{usage}/users/{self.identity}/index", body, kind or f"application/{usage}+xml")
        if status not in (200, 201):
            raise Failed(f"PUT {usage}: {status} {answer}")


def said(ue, note):
    """Publishes this, and nothing else that the user has said by a PUBLISH of hers stays."""
    answer = ue.publish(pidf(ue.aor, "open", note), getattr(ue, "etag", None))
    if answer.status != 200:
        raise Failed(f"PUBLISH of {ue.user}: {answer.status}")
    ue.etag = answer.get("sip-etag")


def entries(*who):
    return LISTS.format(entries="".join(f'<entry uri="{uri}"/>' for uri in who))


class Told:
    """The body of a list NOTIFY: RLMI, and the part behind each cid."""

    def __init__(self, message):
        kind = message.get("content-type")
        boundary = re.search(r'boundary="?([^";]+)', kind)
        if not kind.startswith("multipart/related") or not boundary or message.get("require") != "eventlist":
            raise Failed(f"no NOTIFY of a list: {kind}")
        parts = {}
        for part in message.body.split(f"--{boundary.group(1)}")[1:-1]:
            head, _, body = part.partition("\r\n\r\n")
            cid = re.search(r"Content-ID: <([^>]+)>", head, re.I).group(1)
            parts[cid] = body.removesuffix("\r\n")
        root = re.search(r'start="<([^>]+)>"', kind).group(1)
        self.list = ET.fromstring(parts[root].encode())
        self.full, self.version = self.list.get("fullState") == "true", int(self.list.get("version"))
        self.state, self.told = {}, {}
        for resource in self.list.iter(f"{RLMI}resource"):
            uri, instance = resource.get("uri"), resource.find(f"{RLMI}instance")
            self.state[uri] = None if instance is None else instance.get("state")
            self.told[uri] = "" if instance is None else parts.get(instance.get("cid"), "")


class Picture:
    """What a watcher of a list knows (RFC 4662 5.6), and that no version is missing."""

    def __init__(self, live):
        self.live, self.next, self.state, self.told = live, 0, {}, {}

    def take(self, message):
        if not message.body:
            return
        told = Told(message)
        if told.version != self.next:
            raise Failed(f"version {told.version} where {self.next} is due")
        self.next += 1
        if told.full:
            self.state, self.told = {}, {}
        self.state.update(told.state)
        self.told.update(told.told)

    def until(self, what, judge):
        def seen(message):
            self.take(message)
            return judge(self)
        return self.live.until(what, seen)


def watch_list(ue):
    live = ue.subscribe(LIST, headers=[("Supported", "eventlist")], accept=ACCEPT)
    if live.answer.status != 200 or live.answer.get("require") != "eventlist":
        raise Failed(f"SUBSCRIBE to the list: {live.answer.status}, Require {live.answer.get('require')}")
    return Picture(live)


def client_start(lab, ues):
    """Everything that a client does from its start until somebody new may watch (E2E-01)."""
    if lab.args.stub:
        return
    ue, xdmc, alice = Ue("carol", HOME, lab.scscf, "127.0.0.1"), Xdmc(lab, "carol"), ues["alice"]
    ues["carol"] = ue
    lab.ok("carol's client registers", ue.register(600).status == 200)
    status, directory = xdmc.ask("GET", f"org.openmobilealliance.xcap-directory/users/{CAROL}/directory.xml")
    lab.ok(f"it reads which documents there are ({status})", status == 200 and "xcap-directory" in directory)
    lab.policy(ALICE, "allow", CAROL)
    xdmc.put("resource-lists", entries(ALICE))
    xdmc.put("rls-services", SERVICES.format(uri=LIST, root=xdmc.root, owner=CAROL))
    xdmc.put("pres-rules", RULES, "application/auth-policy+xml")
    lab.ok("it puts its list, the service for it and its rules")
    winfo = ue.subscribe(CAROL, event="presence.winfo", accept="application/watcherinfo+xml")
    winfo.until("who watches", lambda m: 'state="full"' in m.body)
    lab.ok("it follows who watches", winfo.answer.status == 200)
    said(alice, "alice is here")
    friends = watch_list(ue)
    friends.until("alice on the list", lambda p: "alice is here" in p.told.get(ALICE, ""))
    lab.ok("one SUBSCRIBE to its own list shows everybody on it")
    said(ue, "carol is here")
    lab.ok("it publishes")
    watcher = alice.subscribe(CAROL)
    watcher.until("pending", lambda m: m.get("subscription-state").startswith("pending"))
    winfo.until("alice pending", lambda m: "pending" in m.body and ALICE in m.body)
    lab.ok("a new watcher is pending, and the client is told of it")
    status, answer = xdmc.ask("PUT", f"pres-rules/users/{CAROL}/index/{HANDLING}", ALLOW, "application/xcap-el+xml")
    lab.ok(f"it edits one element of its rules ({status} {answer})", status == 200)
    watcher.until("active", lambda m: m.get("subscription-state").startswith("active") and "carol is here" in m.body)
    winfo.until("alice active", lambda m: "active" in m.body and "approved" in m.body)
    lab.ok("the new watcher is active after the edit, and the client is told")
    for live in (winfo, watcher, friends.live):
        lab.ok("unsubscribing is answered", live.refresh(0).status == 200)


def lists(lab, ues):
    """A list of local members: live, edited, through kill -9, and ended."""
    if lab.args.stub:
        return
    alice, bob, carol, xdmc = ues["alice"], ues["bob"], ues["carol"], Xdmc(lab, "carol")
    lab.policy(BOB, "allow", ALICE, CAROL)
    lab.ok("bob registers", bob.register(600).status == 200)
    said(bob, "bob is here")
    refused = carol.subscribe(LIST, accept=ACCEPT)
    lab.ok("without eventlist there is no list for her", refused.answer.status >= 400)
    friends = watch_list(carol)
    friends.until("alice alone", lambda p: list(p.state) == [ALICE] and "alice" in p.told[ALICE])
    xdmc.put("resource-lists", entries(ALICE, BOB))
    friends.until("bob, too", lambda p: "bob is here" in p.told.get(BOB, ""))
    lab.ok("who is put on the list by XCAP is there at once")
    said(bob, "bob is out")
    friends.until("bob out", lambda p: "bob is out" in p.told[BOB])
    lab.ok("a change of a member comes alone")
    lab.stop("as", signal.SIGKILL)
    lab.start_as()
    said(alice, "alice is back")
    friends.until("alice back", lambda p: "alice is back" in p.told[ALICE])
    lab.ok("after kill -9: the same dialog goes on, and no version is missing")
    xdmc.put("resource-lists", entries(BOB))
    friends.until("alice gone", lambda p: list(p.state) == [BOB])
    lab.ok("who is taken off the list is gone")
    lab.ok("a refresh is answered", friends.live.refresh(600).status == 200)
    friends.until("bob", lambda p: list(p.state) == [BOB] and "bob is out" in p.told[BOB])
    lab.ok("... and brings everything")
    lab.ok("unsubscribing is answered", friends.live.refresh(0).status == 200)
    friends.live.until("the end", lambda m: m.get("subscription-state").startswith("terminated"))
    fetched = lab.client("watch", "carol", LIST, "--once", "--json", wait_for=20)
    lab.ok("presentia watch shows the list", "bob is out" in fetched)


LINPHONE = """[sip]
sip_port={port}
sip_tcp_port={port}
sip_tls_port=0
auto_net_state_mon=0
register_only_when_network_is_up=0
guess_hostname=0
contact="Carol" <sip:carol@127.0.0.1>
default_proxy=0
rls_uri=sip:rls@{home}
[net]
friendlist_subscription_enabled=1
[sound]
playback_dev_id=none
[proxy_0]
reg_proxy=<sip:{scscf}>
reg_route=<sip:orig@{scscf};lr>
reg_identity=<sip:carol@{home}>
reg_expires=600
reg_sendregister=1
publish=1
realm={home}
[auth_info_0]
username=carol
userid=carol@{home}
passwd=carol-secret
realm={home}
domain={home}
algorithm=MD5
[friend_0]
url="Bob" <{bob}>
pol=accept
subscribe=1
[friend_1]
url="Alice" <{alice}>
pol=accept
subscribe=1
"""


def linphone(lab, ues):
    """A client that is not ours, where it is installed: Linphone sends its friends along (RFC 5367), deflated."""
    if lab.args.stub:
        return
    program = shutil.which("linphonec")
    if not program:
        missing = "linphonec is not installed (Debian: apt-get install linphone-cli): no foreign client of lists"
        if os.environ.get("PRESENTIA_TEST_PEERS") == "required":
            raise Failed(missing)
        print(f"     passed over: {missing}")
        return
    bob = ues["bob"]
    home = lab.dir / "linphone"
    (home / ".local/share/linphone").mkdir(parents=True)
    port = ues["carol"].port + 1
    (home / "rc").write_text(LINPHONE.format(port=port, scscf=lab.scscf, home=HOME, bob=BOB, alice=ALICE))
    said(bob, "for linphone")
    log = open(lab.dir / "linphone.log", "wb")
    process = subprocess.Popen([program, "-c", str(home / "rc"), "-d", "6", "-l", str(home / "log")], cwd=home,
                               stdin=subprocess.PIPE, stdout=log, stderr=log, env=dict(os.environ, HOME=str(home)))
    lab.processes["linphone"] = process
    read = lambda: (home / "log").read_text(errors="replace") if (home / "log").exists() else ""  # noqa: E731
    lab.wait("Linphone's subscription", lambda: "recipient-list-subscribe" in read())
    lab.wait("the list at Linphone", lambda: "Body has been uncompressed" in read() and 'fullState="true"' in read())
    said(bob, "linphone sees this")
    lab.wait("the change at Linphone", lambda: 'fullState="false"' in read())
    process.stdin.write(b"friend list\nquit\n")
    process.stdin.flush()
    log.close()
