# machine.sh ROOT WORK TRIAL COMMAND...: the first process of a machine; see host.sh.
set -euo pipefail
root=$1 work=$2 trial=$3
shift 3
mount --make-rprivate /
cd "$work/root"
mount -t overlay -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/overlay" overlay .
cd "$work/root"
mkdir -p trial old etc/systemd/system
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t bpf bpf sys/fs/bpf
for place in run dev; do mount -t tmpfs -o mode=755 tmpfs $place; done
mount -t tmpfs -o mode=1777 tmpfs tmp
for device in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "dev/${device%:*}" c 1 "${device#*:}"; done
mknod -m 666 dev/tty c 5 0
mkdir dev/pts dev/shm run/lock
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for pair in 0:stdin 1:stdout 2:stderr; do ln -s "fd/${pair%:*}" "dev/${pair#*:}"; done
mount --bind "$trial" trial
hostname trial
ip link set lo up
# What runs in the system that is started, and by what it is started.
cat >etc/systemd/system/trial.service <<'END'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/bash /trial/booted.sh
StandardOutput=file:/trial/report
StandardError=inherit
TimeoutStartSec=1200
END
cat >etc/systemd/system/trial.target <<'END'
[Unit]
Requires=multi-user.target trial.service
END
pivot_root . old
cd /
umount -l old
exec env -i container=netns-trial PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb "$@"
