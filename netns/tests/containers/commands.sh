#!/bin/sh
# What is tried in each place. OUT is a folder for the outcomes, FILES the one of this file.
cd "$FILES" || exit 1

# A bridge to observe, if one can be made here; elsewhere the test has made it.
ip link add outside type bridge 2>/dev/null && ip link set outside up

there() {
  ip -o link | cut -d: -f2
  # `ip netns` leaves its folder too.
  ls -A /run | while read -r name; do [ "$name" = netns ] || echo "$name"; done
  ls -A /run/netns 2>/dev/null
}

try() {
  name=$1
  shift
  timeout -s KILL 100 "$@" >"$OUT/$name.out" 2>"$OUT/$name.err" </dev/null
  echo $? >"$OUT/$name.code"
}

there >"$OUT/before"
case " $COMMANDS " in *' run '*) try run netns run --duration 1 ;; esac
case " $COMMANDS " in *' enforce '*) try enforce netns run --duration 1 --enforce ;; esac
case " $COMMANDS " in *' up '*)
  try up netns up bridge.toml
  try down netns down bridge.toml
  ;;
esac
case " $COMMANDS " in *' observe '*) try observe netns observe outside --duration 1 ;; esac
case " $COMMANDS " in *' netns '*)
  try netns netns netns add ns7
  if [ "$(cat "$OUT/netns.code")" = 0 ]; then try delete netns netns delete ns7; fi
  ;;
esac
NETNS_AS_PROGRAM=1
export NETNS_AS_PROGRAM
case " $COMMANDS " in *' create '*)
  try create first-sandbox --exact first_sandbox::a_program_makes_its_first_sandbox --nocapture
  ;;
esac
case " $COMMANDS " in *' load '*) try load first-sandbox --exact first_sandbox::a_program_loads_ours --nocapture ;; esac
there >"$OUT/after"
