# shellcheck shell=bash disable=SC2034
# What tests/cross and tests/virtual-pi have in common: the cache folder, Debian packages unpacked into it,
# compilers and linker for the Raspberry Pi. Source it; it does nothing by itself.
#
# Nothing here is installed on the machine, apart from small tools (`need`): packages are fetched and
# unpacked into the cache. That is on purpose. Debian's rustc-web conflicts with rustup, foreign C
# libraries on the host confuse qemu-user, and a folder can be deleted.
#
#   LOCKSTEP_CACHE            the cache folder       [${XDG_CACHE_HOME:-~/.cache}/lockstep-tests]
#   LOCKSTEP_CROSS_COMPILER   rustup, debian or auto [auto: rustup where it offers the target]
#   LOCKSTEP_DEBIAN_MIRROR    where Debian's packages come from [on Debian: as this machine; elsewhere needed]

# Versions that were tried together. Newer ones probably work, too.
zig_version=0.15.2
zigbuild_version=0.24.0
# The Debian release that packages come from, whatever this machine runs.
suite=bookworm
# The oldest C library that the programs run with: that of Raspberry Pi OS 11.
glibc=2.31

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${LOCKSTEP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lockstep-tests}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

say() { printf '   %s\n' "$*"; }

fail() {
    printf '%s: error: %s\n' "$(basename "$(dirname "$0")")/$(basename "$0")" "$*" >&2
    exit 1
}

# One run at a time: the builds and the unpacked packages are shared by all clones of the project.
# A script that another one calls works under its caller's lock.
lock_cache() {
    [[ ${LOCKSTEP_CACHE_LOCKED:-} == "$cache" ]] && return
    exec 9>"$cache/lock"
    if ! flock --nonblock 9; then
        say "another run uses $cache: waiting for its end"
        flock --timeout 1800 9 || fail "$cache was in use for half an hour; is another run stuck?"
    fi
    export LOCKSTEP_CACHE_LOCKED=$cache
}

# The packages and the compilers that are fetched here are for this one.
want_x86_64() {
    [[ $(uname -sm) == "Linux x86_64" ]] || fail "this needs Linux on x86-64, and this is $(uname -sm)"
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    else
        sudo --non-interactive "$@"
    fi
}

# need COMMAND PACKAGE: installs a Debian package where its command is missing.
need() {
    command -v "$1" >/dev/null && return
    say "installing $2, for $1"
    as_root apt-get update -qq || true
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends "$2" >/dev/null || true
    command -v "$1" >/dev/null ||
        fail "$1 is missing and could not be installed: run \`apt-get install $2\` as root"
}

# once NAME COMMAND...: runs the command unless it has succeeded before with this cache. It gets a
# fresh folder, $cache/NAME, and makes it anew after a failure. NAME carries what the result depends on.
once() {
    local name=$1
    shift
    [[ -e $cache/$name/.complete ]] && return
    rm -rf "${cache:?}/$name"
    mkdir -p "$cache/$name"
    # In a subshell of its own that `set -e` holds for: a function that is tested is run without it.
    local status=0
    set +e
    (
        set -e
        "$@"
    )
    status=$?
    set -e
    ((status == 0)) || fail "$name could not be made ($*): see above; the next run tries again"
    touch "$cache/$name/.complete"
}

# ---- Debian packages

# A private apt: Debian's $suite for amd64 and arm64, without root, beside the machine's own. On Debian
# the mirror is the machine's; elsewhere LOCKSTEP_DEBIAN_MIRROR names one.
apt_set_up() {
    [[ -n ${apt_options:-} ]] && return
    local mirror=${LOCKSTEP_DEBIAN_MIRROR:-} security='' keyring=/usr/share/keyrings/debian-archive-keyring.gpg own
    if [[ -z $mirror ]] && grep -qx 'ID=debian' /etc/os-release; then
        # shellcheck disable=SC2016  # $(REPO_URI) is apt's
        own=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' || true)
        mirror=$(grep -m1 '/debian/\?$' <<<"$own" || true)
        security=$(grep -m1 'security/\?$' <<<"$own" || true)
    fi
    [[ -n $mirror ]] ||
        fail "no Debian mirror is known here: set LOCKSTEP_DEBIAN_MIRROR to the address of one (it ends in /debian)"
    security=${security:-${mirror%/}-security}
    if [[ ! -e $keyring ]]; then
        as_root apt-get install -qq -y debian-archive-keyring >/dev/null ||
            fail "debian-archive-keyring is missing: packages could not be verified"
    fi
    local apt=$cache/apt
    mkdir -p "$apt/lists/partial" "$apt/archives/partial"
    {
        echo "deb [signed-by=$keyring] $mirror $suite main"
        echo "deb [signed-by=$keyring] $mirror $suite-backports main"
        echo "deb [signed-by=$keyring] $security $suite-security main"
    } >"$apt/sources.list"
    apt_options=(
        -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=-
        -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache::archives=$apt/archives"
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
        -o APT::Architectures::=amd64 -o APT::Architectures::=arm64
        -o APT::Sandbox::User=root -o APT::Update::Post-Invoke::= -o Acquire::Languages=none
        -o Acquire::Retries=2 -o Debug::NoLocking=true
    )
    if [[ -z $(find "$apt/lists" -maxdepth 1 -name '*_Packages*' -mmin -720 -print -quit) ]]; then
        say "reading Debian's package lists"
        find "$apt/lists" -maxdepth 1 -type f -delete
        apt-get "${apt_options[@]}" -qq update || fail "Debian's package lists could not be fetched from $mirror"
        # A list that the mirror has not changed keeps its old date.
        find "$apt/lists" -maxdepth 1 -type f -exec touch {} +
    fi
}

# fetch FOLDER PACKAGE...: downloads these packages, without what they depend on, into the folder.
fetch() {
    local folder=$1
    shift
    apt_set_up
    mkdir -p "$folder"
    (cd "$folder" && apt-get "${apt_options[@]}" -qq download "$@") ||
        fail "these packages could not be fetched: $*"
}

# unpack FOLDER PACKAGE...: fetches them and unpacks them there.
unpack() {
    local folder=$1 package
    shift
    fetch "$folder/debs" "$@"
    for package in "$folder"/debs/*.deb; do
        dpkg-deb -x "$package" "$folder"
    done
    rm -r "$folder/debs"
}

# unpack_with_libraries FOLDER PACKAGE...: also what they depend on and this machine lacks. The release is
# $suite-backports. Run what is in it with `with_libraries FOLDER COMMAND...`.
unpack_with_libraries() {
    local folder=$1 package
    shift
    apt_set_up
    mkdir -p "$folder"
    rm -f "$cache"/apt/archives/*.deb
    apt-get "${apt_options[@]}" -qq -y --no-install-recommends --download-only \
        --target-release "$suite-backports" install "$@" >/dev/null ||
        fail "these packages could not be fetched: $*"
    for package in "$cache"/apt/archives/*.deb; do
        dpkg-deb -x "$package" "$folder"
        rm "$package"
    done
}

with_libraries() {
    local folder=$1 libraries
    shift
    libraries=$folder/usr/lib/x86_64-linux-gnu:$folder/lib/x86_64-linux-gnu
    LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} "$@"
}

# C libraries for programs that are not static: under emulation, and on the virtual Pi.
make_libraries() {
    say "fetching the C libraries of arm64 and armhf"
    unpack "$cache/$libraries" libc6-arm64-cross:all libc6-armhf-cross:all
}

libraries=libc-$suite

# Emulators of single programs. Programs that are not static find their C library below -L.
make_emulators() {
    say "fetching qemu-user"
    unpack "$cache/$emulators" qemu-user-static:amd64
}

emulators=qemu-user-$suite
on_aarch64=("$cache/$emulators/usr/bin/qemu-aarch64-static" -L "$cache/$libraries/usr/aarch64-linux-gnu")
on_armv7=("$cache/$emulators/usr/bin/qemu-arm-static" -cpu cortex-a7 -L "$cache/$libraries/usr/arm-linux-gnueabihf")
on_armv6=("$cache/$emulators/usr/bin/qemu-arm-static" -cpu arm1176)

# ---- the linker

make_zig() {
    need python3 python3
    python3 -m pip --version >/dev/null 2>&1 || need pip3 python3-pip
    say "fetching zig $zig_version and cargo-zigbuild $zigbuild_version from PyPI"
    python3 -m pip install --quiet --no-input --disable-pip-version-check --target "$cache/$zig" \
        "ziglang==$zig_version" "cargo-zigbuild==$zigbuild_version"
}

zig=zig-$zig_version-$zigbuild_version

# ---- the compilers

# Debian's compiler for its browsers, newer than its own; with the library's source.
make_debian_rust() {
    local folder=$cache/$debian_rust version std llvm
    apt_set_up
    say "fetching Debian's rustc-web"
    version=$(apt-cache "${apt_options[@]}" policy rustc-web | sed -n 's/ *Candidate: //p')
    [[ -n $version && $version != "(none)" ]] || fail "Debian $suite has no rustc-web"
    std=$(apt-cache "${apt_options[@]}" depends libstd-rust-web-dev | grep -om1 'libstd-rust-web-[0-9.]*[0-9]')
    llvm=$(apt-cache "${apt_options[@]}" depends "$std" | grep -om1 'libllvm[0-9]*')
    unpack "$folder" "rustc-web:amd64=$version" "libstd-rust-web-dev:amd64=$version" "$std:amd64=$version" \
        "$llvm:amd64" "rust-web-src=$version"
    cat >"$folder/rustc" <<W
#!/bin/sh
export LD_LIBRARY_PATH=$folder/usr/lib/x86_64-linux-gnu:$folder/usr/lib/llvm-${llvm#libllvm}/lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}
exec $folder/usr/bin/rustc "\$@"
W
    chmod +x "$folder/rustc"
    "$folder/rustc" --version
}

debian_rust=rustc-web-$suite

# rustup_offers COMMAND...: a rustup command that fetches something. Mirrors do not have everything.
rustup_offers() {
    command -v rustup >/dev/null && timeout 180 rustup --quiet "$@" >"$cache/rustup.log" 2>&1
}

# make_std TARGET FOLDER: builds the standard library of `compiler` from its source, as a sysroot of its own.
# Cargo could do it anew in each build (-Zbuild-std), but then build scripts that try out the compiler find
# no library, and give up.
make_std() {
    local target=$1 folder=$cache/$2 libraries
    say "building the standard library for $target"
    mkdir "$folder/src"
    printf '[package]\nname = "nothing"\nedition = "2024"\n[workspace]\n' >"$folder/Cargo.toml"
    : >"$folder/src/lib.rs"
    env --unset=CARGO_ENCODED_RUSTFLAGS --unset=RUSTFLAGS "${compiler[@]}" RUSTC_BOOTSTRAP=1 \
        nice -n 10 cargo build --quiet --release -Zbuild-std=std,panic_unwind,test \
        --manifest-path "$folder/Cargo.toml" --target-dir "$folder/target" --target "$target"
    libraries=$folder/lib/rustlib/$target/lib
    mkdir -p "$libraries"
    mv "$folder/target/$target"/release/deps/*.rlib "$libraries/"
    rm -r "$libraries"/libnothing-*.rlib "$folder/target"
    # What was built with another one does not fit any more, and cargo would not notice.
    rm -rf "$cache/build/$target"
}

# choose_compiler TARGET: sees to it that there is a compiler for this target, and notes what cargo has to be told.
#
# With rustup's own standard library where it has it; else one built from rustup's source; else compiler and
# source from Debian. ARMv6 takes the source in any case: mirrors rarely have that target, and one way to build
# it is enough.
declare -A rustc_for flags_for
choose_compiler() {
    local target=$1 choice=${LOCKSTEP_CROSS_COMPILER:-auto} rustc=rustc flags version
    local -a compiler=()
    rustc_for[$target]=''
    flags_for[$target]=''
    if [[ $choice != debian && $target != *musl* ]] && rustup_offers target add "$target"; then
        return
    fi
    if [[ $choice == debian ]] || ! rustup_offers component add rust-src; then
        [[ $choice != rustup ]] ||
            fail "rustup offers neither $target nor rust-src: $(tail -1 "$cache/rustup.log")"
        once "$debian_rust" make_debian_rust
        rustc=$cache/$debian_rust/rustc
        rustc_for[$target]=$rustc
        compiler=("RUSTC=$rustc")
    fi
    version=$("$rustc" -vV | cksum | cut -d' ' -f1)
    once "std-$target-$version" make_std "$target" "std-$target-$version"
    flags="--sysroot=$cache/std-$target-$version"
    if [[ $target == *musl* ]]; then
        # zig brings musl and its start files along.
        flags+=" -Clink-self-contained=no"
    fi
    flags_for[$target]=$flags
}

# for_targets TARGETS COMMAND...: runs a cargo with the compiler that choose_compiler has chosen for these, which
# is the same for all of them. TARGETS is one word, with blanks in between.
for_targets() {
    local targets=$1 target name rustc=''
    local -a told=()
    shift
    for target in $targets; do
        rustc=${rustc_for[$target]}
        name=${target^^}
        [[ -z ${flags_for[$target]} ]] || told+=("CARGO_TARGET_${name//-/_}_RUSTFLAGS=${flags_for[$target]}")
    done
    [[ -z $rustc ]] || told+=("RUSTC=$rustc")
    env --unset=RUSTFLAGS --unset=CARGO_ENCODED_RUSTFLAGS --unset=CARGO_BUILD_TARGET \
        "${told[@]}" CARGO_TARGET_DIR="$cache/build" nice -n 10 "$@" --locked
}

# zigbuild SUBCOMMAND TARGETS ARGUMENTS...: cargo for Raspberry Pis, with zig as linker. Those that share a
# compiler are built side by side: the last crates of a program keep one core each.
zigbuild() {
    local subcommand=$1 targets=$2 target rustc
    shift 2
    local -A by_compiler=() asked=()
    for target in $targets; do
        rustc=${rustc_for[$target]:-rustc}
        by_compiler[$rustc]+="$target "
        case $target in
            *-gnu*) asked[$rustc]+="--target $target.$glibc " ;;
            *) asked[$rustc]+="--target $target " ;;
        esac
    done
    for rustc in "${!by_compiler[@]}"; do
        # shellcheck disable=SC2086  # several words
        CARGO_ZIGBUILD_ZIG_PATH="$cache/$zig/ziglang/zig" ZIG_GLOBAL_CACHE_DIR="$cache/zig-cache" \
            for_targets "${by_compiler[$rustc]}" "$cache/$zig/bin/cargo-zigbuild" "$subcommand" \
            --manifest-path "$project/Cargo.toml" ${asked[$rustc]} "$@"
    done
}

# shipped_binary TARGET: where `tests/cross/build` puts it.
shipped_binary() { echo "$cache/build/$1/dist/lockstep"; }
