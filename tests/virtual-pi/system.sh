# shellcheck shell=bash disable=SC2154
# The virtual Pi with a whole system: Debian's arm64 systemd and udev, and the device that Raspberry Pi's kernels
# have and Debian's has not. Source it after machine.sh.

system=system-$suite
gpiomem=gpiomem-$suite

# What a Raspberry Pi brings along that the service's installation wants.
packages=(systemd systemd-sysv dbus udev kmod bash dash coreutils mount util-linux passwd base-files base-passwd
    libc-bin grep sed procps libgcc-s1)

# Their files, and those that they depend on, as one archive. No foreign program runs for that: what the
# packages' scripts would have done, users and groups, is done by hand.
make_system() {
    local folder=$cache/$system root=$cache/$system/root deb
    apt_set_up
    say "fetching Debian's systemd for arm64"
    rm -f "$cache"/apt/archives/*.deb
    apt-get "${apt_options[@]}" -o APT::Architecture=arm64 -o Dir::State::status=/dev/null -qq -y \
        --no-install-recommends --download-only install "${packages[@]}" >/dev/null ||
        fail "systemd for arm64 could not be fetched"
    mkdir "$root"
    for deb in "$cache"/apt/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$deb" | tar x -C "$root" --keep-directory-symlink \
            --exclude='./usr/share/doc' --exclude='./usr/share/man' --exclude='./usr/share/locale' \
            --exclude='./usr/share/info' --exclude='./usr/lib/udev/hwdb.d' --exclude='./lib/udev/hwdb.d' \
            --exclude='./usr/share/zoneinfo' --exclude='./usr/share/i18n'
        rm "$deb"
    done
    # As base-passwd and others do; Raspberry Pi OS has the group gpio.
    cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
    cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
    {
        echo 'messagebus:x:101:101::/nonexistent:/usr/sbin/nologin'
        echo 'pi:x:1000:1000::/home/pi:/bin/bash'
    } >>"$root/etc/passwd"
    printf '%s\n' messagebus:x:101: systemd-journal:x:996: kvm:x:995: render:x:994: input:x:993: sgx:x:992: \
        gpio:x:997:pi pi:x:1000: >>"$root/etc/group"
    printf 'passwd: files\ngroup: files\n' >"$root/etc/nsswitch.conf"
    echo virtual-pi >"$root/etc/hostname"
    echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
    : >"$root/etc/fstab"
    mkdir -p "$root"/{proc,sys,dev,run,tmp,var/log,home/pi,root,usr/local/bin} "$root"/etc/{modprobe.d,modules-load.d,bash_completion.d}
    chmod 1777 "$root/tmp"
    ln -s lib/systemd/systemd "$root/init"
    local units=$root/etc/systemd/system unit
    ln -sf /lib/systemd/system/multi-user.target "$units/default.target"
    # The login prompt would take the console from the test; what asks for the time or for names finds no network.
    for unit in systemd-timesyncd.service systemd-networkd.service systemd-resolved.service systemd-firstboot.service \
        systemd-hwdb-update.service systemd-journal-catalog-update.service ldconfig.service \
        serial-getty@ttyS1.service getty@tty1.service; do
        ln -sf /dev/null "$units/$unit"
    done
    rm -f "$root"/lib/systemd/system-generators/*
    # As Raspberry Pi OS has it (its 99-com.rules); what more the service needs, its own rules have to say.
    cat >"$root/etc/udev/rules.d/99-com.rules" <<'U'
SUBSYSTEM=="gpio", GROUP="gpio", MODE="0660"
KERNEL=="gpiomem", GROUP="gpio", MODE="0660"
SUBSYSTEM=="pwm", ACTION!="remove", PROGRAM="/bin/sh -c 'chgrp -R gpio /sys%p && chmod -R g=u /sys%p'"
U
    # What is typed after `sudo` is typed by root here.
    printf '#!/bin/sh\nexec "$@"\n' >"$root/usr/bin/sudo"
    chmod 755 "$root/usr/bin/sudo"
    cp "$cache/$guest/busybox/bin/busybox" "$root/usr/bin/"
    tar c -C "$root" . | zstd -q -3 >"$folder/root.tar.zst"
    rm -r "$root"
}

# The module for /dev/gpiomem, for the kernel that is booted.
make_gpiomem() {
    local folder=$cache/$gpiomem version headers common kbuild tree link
    version=$(cat "$cache/$guest/version")
    common=${version%-arm64}-common
    kbuild=linux-kbuild-$(cut -d. -f1,2 <<<"$version")
    say "building the module for /dev/gpiomem"
    need make make
    unpack "$folder" "linux-headers-$version:arm64" "linux-headers-$common" "$kbuild:amd64"
    if ! command -v aarch64-linux-gnu-gcc >/dev/null; then
        unpack_with_libraries "$folder" gcc-aarch64-linux-gnu:amd64
    fi
    # Its Makefile and links name /usr/src: here it lies elsewhere.
    headers=$folder/usr/src/linux-headers-$version
    sed -i "s#/usr/src#$folder/usr/src#g" "$headers/Makefile"
    for tree in "$headers" "$folder/usr/src/linux-headers-$common"; do
        for link in scripts tools; do
            [[ ! -L $tree/$link ]] || ln -sfn "$folder/usr/lib/$kbuild/$link" "$tree/$link"
        done
    done
    cp -r "$virtual_pi/gpiomem" "$folder/module"
    PATH=$folder/usr/bin:$PATH with_libraries "$folder" make --silent -C "$headers" M="$folder/module" \
        ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- modules
    mv "$folder/module/gpiomem.ko" "$folder/"
    rm -rf "$folder"/{usr,lib,etc,module}
}

# make_system_initrd FOLDER PROGRAM SCRIPT: that system with the project's files and this program, packed as
# FOLDER/initrd. It carries out guest/system/SCRIPT. For `service` Lockstep is installed as docs/install.md has it,
# and the header's devices come late; for `install` only what that page begins with is there.
make_system_initrd() {
    local folder=$1 program=$2 script=$3 root=$1/root version modules section command units
    rm -rf "$root"
    mkdir -p "$root"
    zstd -qdc "$cache/$system/root.tar.zst" | tar x -C "$root"
    version=$(cat "$cache/$guest/version")
    modules=$root/lib/modules/$version
    mkdir -p "$modules/kernel"
    cp "$cache/$guest"/modules.* "$modules/"
    cp "$cache/$guest"/*.ko "$cache/$gpiomem/gpiomem.ko" "$modules/kernel/"
    PATH=$PATH:/usr/sbin:/sbin depmod --basedir "$root" "$version"
    # The page's folder, and where cargo puts the program.
    mkdir -p "$root/home/pi/lockstep"
    cp -r "$project/systemd" "$root/home/pi/lockstep/"
    install -D -m 755 "$program" "$root/home/pi/.cargo/bin/lockstep"
    mkdir -p "$root/etc/virtual-pi"
    cp "$virtual_pi"/guest/system/common "$root/etc/virtual-pi/"
    cp "$virtual_pi/guest/system/$script" "$root/etc/virtual-pi/scenarios"
    units=$root/etc/systemd/system
    mkdir -p "$units/multi-user.target.wants"
    cp "$virtual_pi/guest/system/virtual-pi.service" "$units/"
    ln -s ../virtual-pi.service "$units/multi-user.target.wants/"
    if [[ $script == service ]]; then
        while IFS=$'\t' read -r section command; do
            case $command in
                *lockstep-man*) ;;
                'sudo install '*)
                    command=${command#sudo }
                    (cd "$project" && HOME=$root/home/pi bash -c "${command// \// $root/}")
                    ;;
            esac
        done < <(python3 -B "$virtual_pi/commands.py" "$project/docs/install.md" the-program-and-its-service/from-source)
        install -D -m 644 "$virtual_pi/guest/system/lockstep.toml" "$root/etc/lockstep/lockstep.toml"
        ln -s ../lockstep.service "$units/multi-user.target.wants/"
        cp "$virtual_pi/guest/system/late-devices.service" "$units/"
        ln -s ../late-devices.service "$units/multi-user.target.wants/"
        echo 'blacklist pwm-bcm2835' >"$root/etc/modprobe.d/late.conf"
    else
        printf '%s\n' gpiomem pwm-bcm2835 >"$root/etc/modules-load.d/header.conf"
        python3 -B "$virtual_pi/commands.py" "$project/docs/install.md" the-program-and-its-service/from-source \
            you a-config the-machine start-it remove >"$root/etc/virtual-pi/commands"
    fi
    # The same bytes each time: runs are comparable.
    find "$root" -exec touch --no-dereference --date=@0 {} +
    (cd "$root" && find . | LC_ALL=C sort |
        cpio --create --format=newc --quiet --reproducible --owner=0:0 | zstd -q -3) >"$folder/initrd"
    rm -r "$root"
}
