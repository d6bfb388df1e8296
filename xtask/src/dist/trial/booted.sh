# With systemd: units, an upgrade and a way back while a lab and an observer are up, a restart of the machine, removal. It is
# run by trial.service, at each of the two starts.
. /trial/steps.sh
start=$(cat /trial/start)
observer=netns-observe@br-lab.service

lab_starts() {
  systemctl start netns-up@lab
  systemctl is-active netns-up@lab
  ip netns exec a ping -c 1 10.77.0.2
}
# Frames under somebody else's address.
lie() { ip netns exec a ping -q -i 0.05 -c "$1" -W 1 -I 10.77.0.99 10.77.0.2; }
honest() { ip netns exec a ping -q -i 0.05 -c "$1" -W 1 10.77.0.2; }
metrics() {
  exec 3<>/dev/tcp/127.0.0.1/9753 || return
  printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3
  cat <&3
}
main_pid() { systemctl show --property=MainPID --value "$observer"; }
sleepers() { pgrep -f 'sleep 987654'; }
enforced() {
  honest 3
  not lie 3
}
observer_starts() {
  lie 1
  systemctl start "$observer"
  # It says so only when the ports are attached to.
  [ "$(tc filter show dev a-eth0 ingress | grep -c bpf)" -gt 0 ]
  enforced
  metrics | grep -E 'netns_violations_total\{.*\} [1-9]'
}
missing_bridge() {
  not systemctl start netns-observe@nowhere
  journalctl -u netns-observe@nowhere | grep 'error: '
  systemctl stop netns-observe@nowhere
  systemctl reset-failed
}
# install FILE VERSION: neither the lab nor the observer notices.
install() {
  local observing sleeping
  observing=$(main_pid) sleeping=$(sleepers)
  dpkg --install "$1"
  [ "$(dpkg-query -W -f '${Version}' netns)" = "$2" ]
  [ "$(main_pid)" = "$observing" ]
  [ "$(sleepers)" = "$sleeping" ]
  enforced
}
is_other() { local now; now=$(main_pid); [ "$now" != 0 ] && [ "$now" != "$1" ] && metrics 2>/dev/null | grep -q netns_ports; }
# The observer is replaced by one of the program that is installed; meanwhile no lie passes, and no honest frame is lost.
takeover() {
  local before lies truths
  before=$(main_pid)
  lie 120 >/tmp/lies &
  lies=$!
  honest 120 >/tmp/truths &
  truths=$!
  sleep 1
  systemctl kill --signal=KILL "$observer"
  within 60 is_other "$before"
  not wait $lies
  wait $truths
  cat /tmp/lies /tmp/truths
  grep ' 0 received' /tmp/lies
  grep ' 120 received' /tmp/truths
  [ "$(readlink "/proc/$(main_pid)/exe")" = /usr/bin/netns ]
  systemctl is-active "$observer"
}
lab_reloads() {
  local sleeping
  sleeping=$(sleepers)
  sed -i 's/^addresses = .*/addresses = ["10.77.0.254\/24"]/' /etc/netns-topology/lab.toml
  systemctl reload netns-up@lab
  ip netns exec b ping -c 1 10.77.0.254
  [ "$(sleepers)" = "$sleeping" ]
}
is_counted() { metrics 2>/dev/null | grep -E 'netns_enforcement_lost_total [1-9]'; }
lost() {
  tc qdisc delete dev a-eth0 clsact
  within 60 is_counted
  journalctl -u "$observer" | grep 'somebody took away'
  enforced
}
stopped_in_the_open() {
  systemctl stop "$observer"
  # That something was lost is its exit code.
  [ "$(systemctl show --property=Result --value "$observer")" = exit-code ]
  [ "$(systemctl show --property=ExecMainStatus --value "$observer")" = 2 ]
  systemctl reset-failed "$observer"
  [ -z "$(tc qdisc show dev a-eth0 clsact)" ]
  lie 1
}
enabled() { systemctl enable netns-up@lab "$observer"; }

if [ "$start" = first ]; then
  files >/var/lib/files-before
  inventory >/var/lib/state-before
  mkdir -p /etc/netns-topology /etc/netns-observe
  cat >/etc/netns-topology/lab.toml <<'END'
[bridge.br-lab]
addresses = []
[namespace.a]
interface.eth0 = { bridge = "br-lab", mac = "02:00:00:00:00:0a", addresses = ["10.77.0.1/24", "10.77.0.99/24"] }
run = ["sleep 987654"]
[namespace.b]
interface.eth0 = { bridge = "br-lab", mac = "02:00:00:00:00:0b", addresses = ["10.77.0.2/24"] }
END
  cat >/etc/netns-observe/br-lab.toml <<'END'
[namespace.a]
mac = "02:00:00:00:00:0a"
addresses = ["10.77.0.1"]
[namespace.b]
mac = "02:00:00:00:00:0b"
addresses = ["10.77.0.2"]
END
  echo 'OPTIONS=--metrics 9753 --policy /etc/netns-observe/br-lab.toml --enforce' >/etc/netns-observe/br-lab.conf
  version=$(dpkg-deb --field /trial/netns.deb Version) earlier=$(dpkg-deb --field /trial/earlier.deb Version)
  step "netns $earlier installs" dpkg --install /trial/earlier.deb
  step 'netns-up@lab starts' lab_starts
  step 'netns-observe@br-lab starts, and enforces' observer_starts
  step 'an observer of no bridge fails to start, and says why' missing_bridge
  step "an upgrade to $version: the lab and the observer go on" install /trial/netns.deb "$version"
  step 'the new program takes over, and nothing passes meanwhile' takeover
  step 'netns-up@lab reloads an edited file' lab_reloads
  step "the way back to $earlier: both go on" install /trial/earlier.deb "$earlier"
  step 'the earlier program takes over, and nothing passes meanwhile' takeover
  step "$version again" install /trial/netns.deb "$version"
  step 'the new program takes over' takeover
  step 'enforcement that is taken away is put back, and counted' lost
  step 'the observer stops, and its exit code says that it was' stopped_in_the_open
  step 'both are enabled' enabled
  end='systemctl --no-block reboot'
else
  in_order() {
    systemctl is-active netns-up@lab "$observer" netns-labs.target
    [ "$(systemctl show --property=NRestarts --value "$observer")" = 0 ]
    enforced
  }
  returns() {
    systemctl stop netns-up@lab
    [ -z "$(ip netns list)" ]
    systemctl start netns-up@lab
    within 60 eval 'tc filter show dev a-eth0 ingress | grep -q bpf && systemctl is-active "$observer"'
    enforced
  }
  purged() {
    dpkg --purge netns
    not systemctl is-active "$observer" netns-up@lab
    rm -r /etc/netns-topology /etc/netns-observe
  }
  step 'both are up after the restart, the lab before the observer' in_order
  step 'a bridge that goes and comes again is observed again' returns
  step 'the package is purged, and all that its units brought up goes' purged
  step 'no file is left' diff /var/lib/files-before <(files)
  step 'nor anything else' diff /var/lib/state-before <(inventory)
  end='systemctl --no-block poweroff'
fi
journalctl --no-pager >"/trial/journal-$start"
((failed)) || touch /trial/passed
$end
