# shellcheck shell=bash disable=SC2154
# The virtual Pi: QEMU's raspi3b with Debian's arm64 kernel, and a plugin that writes down what reaches the
# registers. Source it after ../cross/common.sh.

virtual_pi=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
emulator=qemu-system-$suite
guest=raspi3b-2-$suite

# QEMU 9.2 is the first whose plugins see the values of stores.
qemu_is_new_enough() {
    local version
    version=$("$@" --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9.]*\).*/\1/p')
    [[ -n $version && $(printf '%s\n' 9.2 "$version" | sort -V | head -1) == 9.2 ]]
}

# Debian 12 has it in its backports; elsewhere the machine's own has to do.
make_emulator() {
    local folder=$cache/$emulator
    if qemu_is_new_enough qemu-system-aarch64; then
        # shellcheck disable=SC2016
        echo 'exec qemu-system-aarch64 "$@"' >"$folder/qemu"
    elif grep -qx "VERSION_CODENAME=$suite" /etc/os-release; then
        say "fetching QEMU from $suite-backports"
        unpack_with_libraries "$folder" qemu-system-arm:amd64
        cat >"$folder/qemu" <<W
export LD_LIBRARY_PATH=$folder/usr/lib/x86_64-linux-gnu:$folder/lib/x86_64-linux-gnu
exec $folder/usr/bin/qemu-system-aarch64 -L $folder/usr/share/qemu "\$@"
W
    else
        need qemu-system-aarch64 qemu-system-arm
        qemu_is_new_enough qemu-system-aarch64 || fail "QEMU 9.2 or newer is needed; this system has an older one"
        # shellcheck disable=SC2016
        echo 'exec qemu-system-aarch64 "$@"' >"$folder/qemu"
    fi
    qemu_is_new_enough bash "$folder/qemu" || fail "QEMU was fetched and does not start"
}

# The kernel, three of its modules and what it says of all, its device tree for the Pi 3, and a shell.
make_guest() {
    local folder=$cache/$guest kernel version tree pin
    say "fetching Debian's arm64 kernel"
    apt_set_up
    kernel=$(apt-cache "${apt_options[@]}" depends linux-image-arm64:arm64 |
        sed -n 's/.*Depends: \(linux-image-[^:]*\).*/\1/p' | head -1)
    [[ -n $kernel ]] || fail "Debian $suite has no kernel for arm64"
    fetch "$folder/debs" "$kernel:arm64" busybox-static:arm64
    version=${kernel#linux-image-}
    dpkg-deb -x "$folder"/debs/busybox*.deb "$folder/busybox"
    dpkg-deb --fsys-tarfile "$folder"/debs/linux-image*.deb | tar x -C "$folder" --transform 's#.*/##' \
        "./boot/vmlinuz-$version" \
        "./lib/modules/$version/kernel/drivers/pwm/pwm-bcm2835.ko" \
        "./lib/modules/$version/kernel/drivers/watchdog/bcm2835_wdt.ko" \
        "./lib/modules/$version/kernel/drivers/char/hw_random/bcm2835-rng.ko" \
        "./lib/modules/$version/modules.builtin" "./lib/modules/$version/modules.builtin.modinfo" \
        "./lib/modules/$version/modules.order" \
        "./usr/lib/linux-image-$version/broadcom/bcm2837-rpi-3-b.dtb"
    rm -r "$folder/debs"
    mv "$folder/vmlinuz-$version" "$folder/kernel"
    # Debian's device tree has the PWM on, but on GPIO40 and 41: move it to 18 and 19, as
    # dtoverlay=pwm-2chan does. And keep the Bluetooth driver off the console.
    need fdtput device-tree-compiler
    tree=$folder/bcm2837-rpi-3-b.dtb
    pin=0xf0
    for node in pwm0_gpio18 pwm1_gpio19; do
        fdtput -t x "$tree" "/soc/gpio@7e200000/$node" phandle "$pin"
        pin=$(printf '0x%x' $((pin + 1)))
    done
    fdtput -t x "$tree" /soc/pwm@7e20c000 pinctrl-0 f0 f1
    fdtput -r "$tree" /soc/serial@7e201000/bluetooth
    echo "$version" >"$folder/version"
}

# make_initrd FOLDER PROGRAM: the guest's files, with that program as `lockstep`, packed as FOLDER/initrd.
make_initrd() {
    local folder=$1 program=$2 root=$1/root library
    rm -rf "$root"
    mkdir -p "$root"/{bin,lib,proc,sys,dev,etc,tmp,config,modules}
    cp "$cache/$guest/busybox/bin/busybox" "$root/bin/"
    ln -s busybox "$root/bin/sh"
    cp "$cache/$guest"/{pwm-bcm2835,bcm2835_wdt}.ko "$root/modules/"
    # rppal looks root up by name.
    echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
    printf 'root:x:0:\ngpio:x:997:\n' >"$root/etc/group"
    install -m 755 "$program" "$root/bin/lockstep"
    for library in ld-linux-aarch64.so.1 libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1; do
        cp "$cache/$libraries/usr/aarch64-linux-gnu/lib/$library" "$root/lib/"
    done
    cp "$virtual_pi"/guest/*.toml "$root/config/"
    cp "$virtual_pi/guest/scenarios" "$root/etc/"
    install -m 755 "$virtual_pi/guest/init" "$root/init"
    need cpio cpio
    # The same bytes each time: runs are comparable to the instruction.
    find "$root" -exec touch --no-dereference --date=@0 {} +
    (cd "$root" && find . | LC_ALL=C sort |
        cpio --create --format=newc --quiet --reproducible --owner=0:0 | gzip -1 --no-name) >"$folder/initrd"
    rm -r "$root"
}

# boot FOLDER SECONDS [KERNEL OPTIONS]: runs the virtual Pi until it switches itself off; leaves FOLDER/registers.log and
# FOLDER/console.
#
# One instruction of the guest is one nanosecond of its time, and time in which it idles passes at once. So
# a run does not depend on how fast or how busy this machine is.
boot() {
    local folder=$1 limit=$2 options=${3:-} status=0
    cc -O2 -Wall -Wextra -shared -fPIC -fvisibility=hidden -o "$folder/register-log.so" "$virtual_pi/register-log.c"
    rm -f "$folder/console" "$folder/registers.log"
    timeout --kill-after=5 "$limit" bash "$cache/$emulator/qemu" -M raspi3b \
        -kernel "$cache/$guest/kernel" -dtb "$cache/$guest/bcm2837-rpi-3-b.dtb" -initrd "$folder/initrd" \
        -append "console=ttyS1,115200 iomem=relaxed panic=-1 loglevel=2 $options" \
        -display none -monitor none -no-reboot -icount shift=0,sleep=off \
        -serial null -serial "file:$folder/console" \
        -plugin "$folder/register-log.so,out=$folder/registers.log" </dev/null || status=$?
    ((status != 124)) || fail "the virtual Pi was not done after $limit s; the end of $folder/console:
$(tail -5 "$folder/console")"
    ((status == 0)) || fail "QEMU ended with status $status"
}
