#!/bin/sh
# Runs a command as a container would: user 10001, whom /etc/passwd does not know, on a root that is read-only but for
# /tmp and /data. To be run by root, in a mount namespace of its own.
#   confined.sh ROOT PYTHON_PREFIX ENVIRONMENT COMMAND...    ROOT is an empty folder
set -eu

root=$1
python=$2
environment=$3
shift 3

show() {
    for path in "$@"; do
        if [ -L "$path" ]; then
            cp -P "$path" "$root$path"
        elif [ -d "$path" ]; then
            mkdir -p "$root$path"
            mount --rbind "$path" "$root$path"
            mount -o remount,ro,bind "$root$path"
        elif [ -e "$path" ]; then
            mkdir -p "$root$(dirname "$path")"
            cp "$path" "$root$path"
        fi
    done
}

writable() {
    mkdir "$root$1"
    mount -t tmpfs -o mode=0700,uid=10001,gid=10001 tmpfs "$root$1"
}

mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs "$root"
writable /tmp
writable /data
chmod 755 "$root/tmp"
show /usr /bin /sbin /lib /lib32 /lib64 /etc/ld.so.cache /dev /proc "$python" "$environment"
mount -o remount,ro "$root"
cd "$root"
exec /usr/sbin/chroot --userspec=10001:10001 --groups= "$root" "$@"
