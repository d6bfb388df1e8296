# As somebody without systemd: install, use, remove. The first process of a machine.
. /trial/steps.sh

verified() { [ -z "$(dpkg --verify netns netns-cni)" ]; }
manual() {
  man -P cat netns-up | grep -q 'Exit codes'
  man -P cat netns-observe | grep -q -e --enforce
  man -w netns-bridge-fdb-replace
}
completed() {
  . /usr/share/bash-completion/completions/netns
  complete -p netns | grep -q _netns_names
}
run() { netns run --namespaces 3 --duration 1 --json | tail -n 1 | grep '"type":"summary"'; }
lab() {
  netns up /usr/share/doc/netns/examples/bridge-host.toml
  netns ping ns1 10.1.1.254 --count 1
  netns down /usr/share/doc/netns/examples/bridge-host.toml
}
pod() {
  cat >/tmp/list <<'END'
{"cniVersion": "1.0.0", "name": "pods", "type": "netns-cni", "bridge": "cni0", "isGateway": true,
 "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/16"}]]}}
END
  export CNI_CONTAINERID=one CNI_NETNS=/run/netns/pod CNI_IFNAME=eth0 CNI_PATH=/usr/lib/cni
  ip netns add pod
  CNI_COMMAND=ADD /usr/lib/cni/netns-cni </tmp/list
  ip netns exec pod ping -c 1 10.88.0.1
  CNI_COMMAND=DEL /usr/lib/cni/netns-cni </tmp/list
  ip netns delete pod
  # As with the reference's plugins a bridge stays, and so does what is noted of it.
  ip link delete cni0
  rm -r /var/lib/cni /run/netns-cni /run/netns-settings.record
}
archive() {
  tar -xzf /trial/archive.tar.gz --strip-components=1 -C /usr/local
  [ "$(command -v netns)" = /usr/bin/netns ]
  /usr/local/bin/netns run --duration 1
  man -M /usr/local/share/man -w netns-up
  tar -tzf /trial/archive.tar.gz | cut -d/ -f2- | grep -v '/$' | sed 's#^#/usr/local/#' | grep -v '/local/$' | xargs -d '\n' rm
  find /usr/local -mindepth 2 -depth -type d -empty -delete
  mkdir -p /usr/local/share/man
}
# A topology that was brought up by hand stays as it was.
removed() {
  netns up /usr/share/doc/netns/examples/bridge-host.toml
  cp /usr/share/doc/netns/examples/bridge-host.toml /tmp
  dpkg --remove netns 2>&1 | grep bridge-host.toml
  ip netns exec ns1 ping -c 1 10.1.1.254
  dpkg --install /trial/netns.deb
  netns down /usr/share/doc/netns/examples/bridge-host.toml
}

before=$(files) state=$(inventory)
step 'both packages install' dpkg --install /trial/netns.deb /trial/netns-cni.deb
step 'their files are as they were packed' verified
step 'man pages are found' manual
step 'bash completes' completed
step 'netns run' run
step 'a topology comes up and goes down' lab
step 'the CNI plugin connects a pod' pod
step 'the archive runs from /usr/local' archive
step 'a topology outlives the removal of the package' removed
step 'both packages are purged' dpkg --purge netns netns-cni
step 'no file is left' diff <(echo "$before") <(files)
step 'nor anything else' diff <(echo "$state") <(inventory)
exit $failed
