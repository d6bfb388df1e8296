#!/bin/busybox sh
# The first program in the VM: makes a root of the machine's own, which nothing can be written to, and runs the round there.
# It must be `switch_root`: below a chroot the kernel does not find modprobe, and loads no modules by itself.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs dev /dev
for module in /modules/*; do $b insmod "$module"; done
$b mount -t tmpfs -o size=80% tmpfs /upper
$b mkdir /upper/files /upper/work
$b mount -t virtiofs root /lower || $b poweroff -f
$b mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /root
$b mkdir -p /root/usr/lib/modules
$b mount --bind "/lower@MODULES@" /root/usr/lib/modules
for place in proc sys dev; do $b mount --move /$place /root/$place; done
for place in run tmp; do $b mount -t tmpfs tmpfs /root/$place; done
# A clone that is in one of the two is there all the same.
case "@WORKSPACE@" in /tmp/* | /run/*)
  if $b test -d "/lower@WORKSPACE@"; then
    $b mkdir -p "/root@WORKSPACE@" /upper/clone /upper/clone-work
    $b mount -t overlay -o "lowerdir=/lower@WORKSPACE@,upperdir=/upper/clone,workdir=/upper/clone-work" overlay "/root@WORKSPACE@"
  fi ;;
esac
$b mkdir -p /root/dev/pts /root/dev/shm /root/run/lock /root/vm
$b mount -t devpts devpts /root/dev/pts
$b mount -t tmpfs tmpfs /root/dev/shm
$b mount -t cgroup2 cgroup2 /root/sys/fs/cgroup
$b mount -t bpf bpf /root/sys/fs/bpf
$b mount -t debugfs debugfs /root/sys/kernel/debug
$b ln -s /proc/self/fd /root/dev/fd
for pair in 0:stdin 1:stdout 2:stderr; do $b ln -s "fd/${pair%:*}" "/root/dev/${pair#*:}"; done
$b cp /vm/* /root/vm/
$b hostname vm
exec $b switch_root /root /bin/bash -c '. /vm/environment; exec bash /vm/guest.sh >"$REPORT" 2>&1 </dev/null'
