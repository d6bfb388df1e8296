# What the scripts of a trial share.
export LC_ALL=C.UTF-8 HOME=/root
failed=0

# step NAME COMMAND...: the command has to succeed; what it printed is shown only if it does not.
step() {
  local name=$1 code=0 begun=${EPOCHREALTIME/./}
  shift
  (set -eu; "$@") >/tmp/output 2>&1 </dev/null
  code=$?
  local took=$(((${EPOCHREALTIME/./} - begun) / 1000))
  if ((code == 0)); then
    printf '  ok     %6d ms  %s\n' $took "$name"
  else
    printf '  FAILED %6d ms  %s (%d)\n' $took "$name" $code
    sed 's/^/    /' /tmp/output
    failed=1
  fi
}

# not COMMAND...: it has to fail. (`! COMMAND` ends no function, whatever comes of it.)
not() { ! "$@"; }

# within SECONDS COMMAND...: tries it again until it succeeds.
within() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < end)) || { echo "not within the time: $*"; return 1; }
    sleep 0.1
  done
}

# All files of the machine, but for what dpkg, systemd and the trial write down of what they did.
files() {
  find / -xdev \( -path /trial -o -path /var/log -o -path /var/lib/dpkg -o -path /var/cache -o -path '/var/tmp/*' \
    -o -path '/var/lib/systemd/*' -o -path '/var/lib/*-before' \) \
    -prune -o -print | sort
}

# What of namespaces, links, filters and our own files there is.
inventory() {
  ip netns list
  ip -o link show | cut -d: -f2
  tc filter show dev lo
  ls -d /run/netns-* 2>/dev/null || true
}
