# host.sh ROOT TRIAL: tries what is in the folder TRIAL on machines made of the folder ROOT, which is not changed.
#
# A machine has namespaces of its own of every kind but users, and runs on this machine's kernel. Its files are an overlay
# in memory, which the next machine finds as this one left them. All of it goes with this process and its mount namespace
# but a group of cgroups, which is removed in the end.
set -euo pipefail
root=$1 trial=$2
work=$(mktemp -d)
mount --make-rprivate /
mount -t tmpfs -o size=2G,mode=755 tmpfs "$work"
mkdir "$work"/{upper,overlay,root,cgroup}
mount -t cgroup2 cgroup2 "$work/cgroup"
group=$work/cgroup/netns-trial-$$
mkdir "$group"
finish() {
  find "$group" -depth -type d -exec rmdir {} + || true
  umount -R "$work" && rmdir "$work"
}
trap finish EXIT

# machine COMMAND...: runs it as the first process of a machine; its exit code.
machine() {
  rm -rf "$work/overlay" && mkdir "$work/overlay"
  local code=0
  bash -c 'echo $$ >"$0/cgroup.procs"; exec "$@"' "$group" \
    unshare --cgroup --net --ipc --uts --pid --mount --fork --kill-child \
    bash "$trial/machine.sh" "$root" "$work" "$trial" "$@" || code=$?
  return $code
}

failed=0
echo 'without systemd'
machine /bin/bash /trial/installed.sh || failed=1
# A system that is restarted ends by SIGHUP, one that is switched off by SIGINT:
# https://man7.org/linux/man-pages/man2/reboot.2.html
for start in first second; do
  echo "systemd, $start start"
  echo $start >"$trial/start"
  rm -f "$trial/report" "$trial/passed"
  machine /lib/systemd/systemd --unit=trial.target >"$trial/console-$start" 2>&1 || true
  if [ -e "$trial/report" ]; then cat "$trial/report"; fi
  if ! [ -e "$trial/passed" ]; then
    echo "it did not pass; the console is in $trial/console-$start, the journal in $trial/journal-$start"
    failed=1
    break
  fi
done
exit $failed
