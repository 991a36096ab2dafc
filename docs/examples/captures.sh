#!/bin/sh
# Makes the captures of docs/charging/captures.md: credit, record, failover with T, goodbye, session, refund. Usage:
#
#   docs/examples/captures.sh [DIRECTORY]
#
# PRESENTIA is the program, "presentia" unless it is set. It takes ports 3868, 3869, 5080 and 8080 of 127.0.0.1 for half
# a minute, and asks for tshark only to show what it has written.
set -eu
program=${PRESENTIA:-presentia}
out=${1:-captures}
mkdir -p "$out"
cd "$out"
rm -f ./*.pcap ./*.txt
started=""
trap 'for pid in $started; do kill "$pid" 2>/dev/null || true; done' EXIT

# start NAME COMMAND...: in the background, with its output in NAME.txt
start() {
    name=$1
    shift
    "$@" >"$name.txt" 2>&1 </dev/null &
    started="$started $!"
}

# until WORDS FILE: waits until the file has them, ten seconds at most
until_said() {
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        if grep -q -- "$1" "$2" 2>/dev/null; then return; fi
        sleep 0.5
    done
    echo "$2 does not say: $1" >&2
    exit 1
}

stop_all() {
    for pid in $started; do kill "$pid" 2>/dev/null || true; done
    for pid in $started; do wait "$pid" 2>/dev/null || true; done
    started=""
}

publish() { "$program" publish sip:bob@ims.test --basic "$1" --once || true; }

# 1: one system is CDF and OCS; bob has one unit and publishes twice
cat >first.toml <<'TOML'
[store]
engine = "memory"
[charging]
origin_host = "ps.test"
origin_realm = "test"
[[charging.peers]]
host = "ocs.test"
realm = "test"
address = "127.0.0.1:3868"
[charging.online]
publish = "iec"
[[charging.online.peers]]
host = "ocs.test"
realm = "test"
address = "127.0.0.1:3868"
TOML
start first-ocs "$program" sim ocs --both --balance sip:bob@ims.test=1 --pcap first.pcap
until_said "listens at" first-ocs.txt
start first-server "$program" serve --config first.toml
until_said "peer is up" first-server.txt
publish open
publish closed
sleep 1
stop_all

# 2: the first CDF takes a record and says nothing; the second one gets it with T; then the first one goes, and comes back
cat >failover.toml <<'TOML'
[store]
engine = "memory"
[charging]
origin_host = "ps.test"
origin_realm = "test"
destination_realm = "test"
answer_timeout_ms = 1000
[[charging.peers]]
host = "cdf1.test"
address = "127.0.0.1:3868"
priority = 0
[[charging.peers]]
host = "cdf2.test"
address = "127.0.0.1:3869"
priority = 1
TOML
mkfifo orders
"$program" sim cdf --host cdf1.test --answer silent,2001 --pcap cdf1.pcap >cdf1.txt 2>&1 <orders &
started="$started $!"
exec 3>orders
rm orders
start cdf2 "$program" sim cdf --host cdf2.test --listen 127.0.0.1:3869 --pcap cdf2.pcap
until_said "listens at" cdf2.txt
start failover-server "$program" serve --config failover.toml
until_said "peer is up.*cdf2.test" failover-server.txt
publish open
until_said "with T" cdf2.txt
echo disconnect >&3
until_said "disconnected" cdf1.txt
sleep 2
exec 3>&-
stop_all

# 3: one session for a subscription, whose units run out
cat >session.toml <<'TOML'
[store]
engine = "memory"
[charging]
origin_host = "ps.test"
origin_realm = "test"
[charging.online]
subscribe = "session"
[charging.online.sessions]
quota = 2
[[charging.online.peers]]
host = "ocs.test"
realm = "test"
address = "127.0.0.1:3868"
TOML
start session-ocs "$program" sim ocs --balance sip:bob@ims.test=2 --final-unit --pcap session.pcap
until_said "listens at" session-ocs.txt
start session-server "$program" serve --config session.toml
until_said "peer is up" session-server.txt
start session-watch "$program" watch sip:bob@ims.test --raw
until_said "CC-Request-Type (416) = 1" session-ocs.txt
publish open
sleep 6
stop_all

# 4: a debit whose service fails is given back; the client of the simulator shows each step
start refund-ocs "$program" sim ocs --balance sip:bob@ims.test=1 --pcap refund.pcap
until_said "listens at" refund-ocs.txt
"$program" sim client sip:bob@ims.test --fails >refund-client.txt
stop_all

for capture in first cdf1 cdf2 session refund; do
    echo "$out/$capture.pcap"
    if command -v tshark >/dev/null; then
        tshark -r "$capture.pcap" -d tcp.port==3869,diameter 2>/dev/null
    fi
done
