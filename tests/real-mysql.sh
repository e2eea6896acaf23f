#!/usr/bin/env bash
# Puts a real MySQL server (Debian unstable's mysql-server-core, 9.7 at the time of writing) into a folder, beside whatever is
# installed, and prints the path of a `mysqld` wrapper that runs it with its own libraries. Nothing is installed system-wide.
#   usage: real-mysql.sh FOLDER        then: "$(real-mysql.sh FOLDER)" --version
# For tests against the server that users run in production; the distribution's MariaDB is what a bare machine gets.
# Needs apt and dpkg (Debian or a relative with Debian's mirror), no root. A second call with the same folder is immediate.
set -euo pipefail
root=$(mkdir -p "${1:?usage: real-mysql.sh FOLDER}" && cd "$1" && pwd)
wrapper=$root/mysqld
readonly tries_max=3 # a mirror that fails three times in a row is down
readonly pause_seconds=5

works() { [[ -x $wrapper ]] && "$wrapper" --no-defaults --version >/dev/null 2>&1; }

fetch() { # everything from an empty folder; the wrapper comes last, so that a half-made folder is never taken for a whole one
  rm -rf "$root"/{lists,cache,debs,fs,mysqld}
  mkdir -p "$root"/{lists/partial,cache/archives/partial,debs,fs}
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >"$root/sources.list"
  local packages loader libraries deb
  local -a apt=(-o Dir::Etc::sourcelist="$root/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::Lists="$root/lists"
    -o Dir::Cache="$root/cache" -o Dir::State::status=/dev/null -o Acquire::Retries=3 -o Acquire::http::Timeout=60)
  if ((EUID == 0)); then apt+=(-o APT::Sandbox::User=root); fi
  apt-get "${apt[@]}" -qq update || return 1
  packages=$(apt-cache "${apt[@]}" depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances --no-pre-depends mysql-server-core | grep '^[a-z]' |
    grep -vE '^(debconf|perl|cdebconf|adduser|passwd|dpkg|init|sysv|systemd|mysql-common|mysql-client)' | sort -u) || return 1
  # shellcheck disable=SC2086
  (cd "$root/debs" && apt-get "${apt[@]}" -qq download $packages) || return 1
  for deb in "$root"/debs/*.deb; do dpkg -x "$deb" "$root/fs" || return 1; done
  loader=$(find "$root/fs" -name 'ld-linux*.so.*' | head -n 1)
  libraries=$(find "$root/fs" -name '*.so*' -printf '%h\n' | sort -u | grep -vE '/etc$|engines|ossl|plugin|sasl2|gconv|perl|gdb' | paste -sd:)
  [[ -n $loader && -n $libraries ]] || return 1
  cat >"$wrapper.new" <<WRAPPER
#!/bin/sh
exec "$loader" --library-path "$libraries" "$root/fs/usr/sbin/mysqld" "\$@" --basedir="$root/fs/usr" --lc-messages-dir="$root/fs/usr/share/mysql" --secure-file-priv=NULL --mysqlx=OFF
WRAPPER
  chmod +x "$wrapper.new"
  mv "$wrapper.new" "$wrapper"
  rm -rf "$root"/{lists,cache,debs}
}

if ! works; then
  # shellcheck disable=SC2016
  mirror=$(apt-get indextargets --format '$(SITE)' | grep '/debian$' | sort -u | head -n 1 || true)
  [[ -n $mirror ]] || { echo "real-mysql: apt names no Debian mirror here" >&2; exit 1; }
  for ((try = 1; ; try++)); do
    if fetch >&2 && works; then break; fi
    if ((try == tries_max)); then echo "real-mysql: no server after $tries_max tries" >&2; exit 1; fi
    echo "real-mysql: try $try of $tries_max failed; the next one in $pause_seconds s" >&2
    sleep "$pause_seconds"
  done
fi
echo "$wrapper"
