# The VM's only process of its own: runs a round of steps, and reports each on its standard output, which is a serial line.
# The root is the machine's own `/`, read-only below an overlay, so every program of the machine is there.
#
# A step's report is a line `@@ begin NAME`, whatever its commands print, and `@@ end CODE MILLISECONDS NAME<TAB>NOTE`.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb
unset CI # A test that lacks something of an older kernel skips here; where nothing may be missing is the machine itself.
release=$(uname -r)
ip link set lo up
# As systemd's package has it, which is not in every root: a module makes no link of its own when a test loads it.
mkdir -p /etc/modprobe.d
printf 'options %s\n' 'bonding max_bonds=0' 'dummy numdummies=0' >/etc/modprobe.d/vm-test.conf
# There is no udev, which would make its device file.
modprobe -q tun
# The folder of named namespaces stays a mount once anybody made one; what a step leaves beside it is to be seen.
ip netns add first && ip netns delete first

# Whether the kernel is at least X.Y.
at_least() {
  local major minor
  IFS=.- read -r major minor _ <<<"$release"
  ((major > $1 || (major == $1 && minor >= $2)))
}

# What a user would see in this cell of the table, instead of "yes".
note() { printf '%s' "$*" >/tmp/note; }

# What a run or a test could leave.
inventory() {
  ip netns list; ip -o link show | cut -d: -f2; tc qdisc show; cut -d' ' -f5 /proc/self/mountinfo | sort
  cat /proc/sys/net/ipv4/ip_forward; ls -A /run /sys/fs/bpf; bpftool prog show 2>/dev/null | grep -oE '^[0-9]+: sched_cls.*name [^ ]+'
}

# step NAME COMMAND...: the command has to succeed and to leave the machine as it was.
step() {
  local name=$1 after start code took left
  shift
  [[ $name == *"$FILTER"* ]] || return 0
  printf '@@ begin %s\n' "$name"
  : >/tmp/note
  # An emulated machine takes seconds for a list; the next step begins with what this one leaves.
  [[ -v before ]] || before=$(inventory)
  start=${EPOCHREALTIME/./}
  (set -eu; "$@") </dev/null 2>&1
  code=$?
  took=$(((${EPOCHREALTIME/./} - start) / 1000))
  # What is closed is gone only when the kernel has come to it.
  left=$((SECONDS + 10))
  # The code of the list is that of its last command, which finds no program where all is well.
  until after=$(inventory); [[ $after == "$before" ]] || ((SECONDS > left)); do sleep 0.1; done
  if [[ $after != "$before" ]]; then
    echo 'it left something:'
    diff <(echo "$before") <(echo "$after")
    ((code)) || code=99
  fi
  before=$after
  printf '\n@@ end %d %d %s\t%s\n' "$code" "$took" "$name" "$(head -n 1 /tmp/note)"
}

printf '@@ kernel %s\n' "$release $(uname -v)"
cd "$WORKSPACE" || exit 1
. /vm/round.sh
printf '@@ done\n'
# Not `poweroff`: there is no init that would listen.
sync
echo o >/proc/sysrq-trigger
sleep 10
