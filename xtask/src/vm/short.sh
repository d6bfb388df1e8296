# The short round: what the README says of a machine, done with the program itself.

# The eBPF program needs atomic operations that give a result.
has_program() { at_least 5 12; }

netns() { timeout 180 "$PROGRAM" "$@"; }

# refuses VERSION ARGUMENTS...: exits with 2 or 1, and says in one sentence which kernel it takes.
refuses() {
  local version=$1 code=0
  shift
  netns "$@" >/tmp/out 2>/tmp/err || code=$?
  cat /tmp/out /tmp/err
  ((code == 1 || code == 2))
  (($(wc -l </tmp/err) <= 2))
  grep -q "Linux $version" /tmp/err
  note "refused: needs Linux $version"
}

run() {
  netns run --plain --duration 2 "$@" >/tmp/out 2>/tmp/err || { local code=$?; cat /tmp/out /tmp/err; return $code; }
  cat /tmp/out /tmp/err
  grep -q '^left  *nothing' /tmp/out
  if has_program; then
    grep -q '^counters  *exact' /tmp/out
  else
    # In a line of its own, and on stderr.
    grep -q "the kernel's" /tmp/err
    note "with the kernel's statistics"
  fi
}

guarded() {
  if has_program; then run "$@"; else refuses 5.12 run --duration 2 "$@"; fi
}

# A bridge that `ip` made, with two namespaces; the second has an address that is not in the policy.
observe() {
  local code=0
  ip link add br0 type bridge; ip addr add 10.77.0.254/24 dev br0; ip link set br0 up
  if ! has_program; then
    refuses 5.12 observe br0 --policy /dev/null --enforce --duration 2 || code=1
    ip link delete br0
    return $code
  fi
  for number in 1 2; do
    ip netns add "n$number"
    ip link add "v$number" type veth peer name eth0 netns "n$number"
    ip link set "v$number" master br0; ip link set "v$number" up
    ip -n "n$number" link set eth0 address "02:00:00:00:77:0$number"
    ip -n "n$number" addr add "10.77.0.$number/24" dev eth0; ip -n "n$number" link set eth0 up
  done
  ip -n n2 addr add 10.77.0.66/24 dev eth0
  cat >/tmp/policy.toml <<'END'
[namespace.n1]
mac = "02:00:00:00:77:01"
addresses = ["10.77.0.1"]
[namespace.n2]
mac = "02:00:00:00:77:02"
addresses = ["10.77.0.2"]
END
  netns observe br0 --policy /tmp/policy.toml --enforce --json --duration 12 >/tmp/out 2>/tmp/err &
  local observer=$!
  for _ in {1..100}; do tc filter show dev v2 ingress | grep -q bpf && break; sleep 0.1; done
  sleep 1
  ip netns exec n1 ping -q -c 3 -i 0.2 -W 2 10.77.0.2 || code=1
  # The sender is none of the policy's: nothing of it arrives.
  ip netns exec n2 ping -q -c 3 -i 0.2 -W 1 -I 10.77.0.66 10.77.0.1 && code=1
  wait $observer || code=1
  ip netns delete n1; ip netns delete n2; ip link delete br0
  cat /tmp/err; tail -n 3 /tmp/out
  grep -qE 'arp-sender-address|ipv4-source-foreign' /tmp/out
  return $code
}

# Its own kernel statistics are what is left where the program cannot be.
observe_without_policy() {
  ip link add br0 type bridge; ip link set br0 up
  ip netns add n1; ip link add v1 type veth peer name eth0 netns n1
  ip link set v1 master br0; ip link set v1 up; ip -n n1 link set eth0 up
  netns observe br0 --plain --duration 2 2>&1 | tee /tmp/out
  ip netns delete n1; ip link delete br0
  grep -q '^v1 ' /tmp/out
  has_program || note "with the kernel's statistics"
}

topology() {
  # A policy takes the program.
  if grep -q policy "$1"; then has_program || { refuses 5.12 up "$1"; return; }; fi
  netns up "$1"
  netns up "$1"
  local difference
  difference=$(netns diff "$1")
  echo "$difference"
  [[ -z $difference ]]
  netns show "$1" >/dev/null
  netns down "$1"
}

names() {
  netns netns add one two
  netns netns list
  netns netns exec one true
  netns netns delete one two
}

first_pings() { "$FIRST_PING"; }

step 'netns add, exec, delete' names
step 'run --namespaces 3' run --namespaces 3
step 'run --subnet6' run --namespaces 3 --subnet6 fd00:1::/64
step 'run --topology pair --subnet6' run --topology pair --subnet6 fd00:1::/64
step 'run --attack --observe' guarded --namespaces 3 --attack --observe
step 'run --attack --enforce' guarded --namespaces 3 --attack --enforce
step 'observe' observe_without_policy
step 'observe --policy --enforce' observe
for file in examples/*.toml; do step "topology ${file##*/}" topology "$file"; done
step 'sandboxes and their first pings' first_pings
